// What changed between the live object and the new inputs, and which changes force a replacement; needs no cluster.
package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

func builtin(gvk schema.GroupVersionKind) bool { return scheme.Scheme.Recognizes(gvk) }

// The metadata fields that only the server writes.
var serverMetadata = []string{"creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation", "managedFields", "resourceVersion", "uid"}

// normalize brings equivalent inputs into the same form, using the kind's Go type: "1000m" becomes "1", a Secret's stringData
// becomes data, and fields that the kind lacks are dropped. Custom resources and inputs with unknown parts stay as they are.
func normalize(inputs object) object {
	out := copyOf(inputs)
	if !has[unknown](out) && builtin(gvkOf(out)) {
		if gvkOf(out) == (schema.GroupVersionKind{Version: "v1", Kind: "Secret"}) {
			normalizeSecret(out)
		} else if typed, err := scheme.Scheme.New(gvkOf(out)); err == nil {
			// A value of the wrong type is left for the API server to refuse.
			if runtime.DefaultUnstructuredConverter.FromUnstructured(out, typed) == nil {
				if back, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed); err == nil {
					out = prune(back, out)
				}
			}
		}
	}
	if metadata, ok := out["metadata"].(object); ok {
		for _, field := range serverMetadata {
			delete(metadata, field)
		}
	}
	return out
}

func normalizeSecret(out object) {
	data, _ := out["data"].(object)
	if plain, ok := out["stringData"].(object); ok && len(plain) > 0 {
		if data == nil {
			data = object{}
		}
		for key, value := range plain {
			s, ok := value.(string)
			if !ok {
				return
			}
			data[key] = base64.StdEncoding.EncodeToString([]byte(s))
		}
		out["data"] = data
		delete(out, "stringData")
		return
	}
	for key, value := range data {
		s, _ := value.(string)
		if raw, err := base64.StdEncoding.DecodeString(s); err == nil {
			data[key] = base64.StdEncoding.EncodeToString(raw)
		}
	}
}

// prune keeps the parts of source that shape also has; list elements are matched by position.
func prune(source, shape object) object {
	out := object{}
	for key, value := range source {
		if want, wanted := shape[key]; wanted {
			out[key] = pruneValue(value, want)
		}
	}
	return out
}

func pruneValue(value, shape any) any {
	switch want := shape.(type) {
	case object:
		if have, ok := value.(object); ok {
			return prune(have, want)
		}
	case []any:
		have, ok := value.([]any)
		if !ok || len(have) == 0 || len(want) == 0 {
			return value
		}
		out := []any{}
		for i := range min(len(have), len(want)) {
			out = append(out, pruneValue(have[i], want[i]))
		}
		return out
	}
	return value
}

// The fields whose change forces a replacement, by group and kind, besides name and namespace.
var immutable = map[schema.GroupKind][]string{
	{Group: "apps", Kind: "Deployment"}:                              {"spec.selector"},
	{Group: "apps", Kind: "StatefulSet"}:                             {"spec.podManagementPolicy", "spec.revisionHistoryLimit", "spec.selector", "spec.serviceName", "spec.volumeClaimTemplates"},
	{Kind: "Secret"}:                                                 {"type"},
	{Kind: "Service"}:                                                {"spec.clusterIP"},
	{Group: "rbac.authorization.k8s.io", Kind: "RoleBinding"}:        {"roleRef"},
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRoleBinding"}: {"roleRef"},
}

func (k *kubernetes) forcesReplacement(inputs object) []string {
	gvk := gvkOf(inputs)
	fields := []string{"metadata.name", "metadata.namespace"}
	frozen := inputs["immutable"] == true
	switch {
	case gvk.Group == "" && gvk.Kind == "ConfigMap" && (frozen || k.settings["enableConfigMapMutable"] != "true"):
		return append(fields, "binaryData", "data")
	case gvk.Group == "" && gvk.Kind == "Secret" && (frozen || k.settings["enableSecretMutable"] != "true"):
		return append(fields, "type", "stringData", "data")
	}
	return append(fields, immutable[gvk.GroupKind()]...)
}

func (k *kubernetes) Diff(_ context.Context, r *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	if isRelease(r.Urn) {
		return k.diffRelease(r)
	}
	inputs := normalize(revealed(r.News))
	live, oldInputs := splitState(revealed(r.Olds))
	gvk := gvkOf(inputs)
	before := prune(live, normalize(oldInputs))
	for _, o := range []object{before, inputs} {
		if !k.namespaced(gvk) {
			if metadata, ok := o["metadata"].(object); ok {
				delete(metadata, "namespace")
			}
		} else if at(o, "metadata", "namespace") == nil {
			set(o, "default", "metadata", "namespace")
		}
	}
	if text(before, "apiVersion") == "" {
		before["apiVersion"], before["kind"] = inputs["apiVersion"], inputs["kind"]
	}
	if at(inputs, "metadata", "name") != nil {
		set(before, text(live, "metadata", "name"), "metadata", "name")
	}
	d := differ{forced: k.forcesReplacement(inputs), found: map[string]*pulumirpc.PropertyDiff{}}
	d.compareObjects(nil, before, inputs, before)
	response := &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE, HasDetailedDiff: true, DetailedDiff: d.found, Replaces: d.replaces()}
	if len(d.found) > 0 {
		response.Changes = pulumirpc.DiffResponse_DIFF_SOME
	}
	// With a fixed name, the replacement cannot coexist with the old object.
	response.DeleteBeforeReplace = len(response.Replaces) > 0 && text(inputs, "metadata", "annotations", autonamed) != "true" &&
		at(inputs, "metadata", "name") != nil && at(inputs, "metadata", "name") == at(live, "metadata", "name") &&
		text(inputs, "metadata", "namespace") == text(live, "metadata", "namespace")
	return response, nil
}

// splitState splits a resource's outputs into the live object and the inputs that made it.
func splitState(state object) (live, inputs object) {
	live = object{}
	for key, value := range state {
		if !strings.HasPrefix(key, "__") {
			live[key] = value
		}
	}
	inputs, _ = state["__inputs"].(object)
	if inputs == nil {
		inputs = object{}
	}
	return live, inputs
}

// differ compares an old object with new inputs and notes every differing leaf under its path.
type differ struct {
	forced []string
	found  map[string]*pulumirpc.PropertyDiff
}

func (d *differ) replaces() []string {
	var out []string
	for path, diff := range d.found {
		if strings.HasSuffix(diff.Kind.String(), "_REPLACE") {
			out = append(out, path)
		}
	}
	sort.Strings(out)
	return out
}

// compareObjects notes as deleted only what the old inputs had; the server filled in the rest.
func (d *differ) compareObjects(path []any, old, now, oldInputs object) {
	for _, key := range sortedKeys(merged(old, now)) {
		before, had := old[key]
		after, has := now[key]
		_, asked := oldInputs[key]
		here := append(slices.Clone(path), key)
		switch {
		case had && has:
			inner, _ := oldInputs[key].(object)
			d.compare(here, before, after, inner)
		case has && after != nil:
			d.note(here, pulumirpc.PropertyDiff_ADD, after)
		case had && !has && asked:
			d.note(here, pulumirpc.PropertyDiff_DELETE, nil)
		}
	}
}

func (d *differ) compare(path []any, before, after any, oldInputs object) {
	switch now := after.(type) {
	case object:
		if old, ok := before.(object); ok {
			d.compareObjects(path, old, now, oldInputs)
			return
		}
	case []any:
		old, ok := before.([]any)
		if !ok {
			break
		}
		for i := range max(len(old), len(now)) {
			here := append(slices.Clone(path), i)
			switch {
			case i >= len(old):
				d.note(here, pulumirpc.PropertyDiff_ADD, now[i])
			case i >= len(now):
				d.note(here, pulumirpc.PropertyDiff_DELETE, nil)
			default:
				inner, _ := old[i].(object)
				d.compare(here, old[i], now[i], inner)
			}
		}
		return
	case nil:
		if before != nil {
			d.note(path, pulumirpc.PropertyDiff_DELETE, nil)
		}
		return
	}
	if !reflect.DeepEqual(before, after) {
		d.note(path, pulumirpc.PropertyDiff_UPDATE, after)
	}
}

func (d *differ) note(path []any, kind pulumirpc.PropertyDiff_Kind, value any) {
	name := ""
	keys := []string{}
	for _, step := range path {
		switch step := step.(type) {
		case int:
			name += fmt.Sprintf("[%d]", step)
		case string:
			keys = append(keys, step)
			switch {
			case strings.ContainsAny(step, `."[]`):
				name += `["` + strings.ReplaceAll(step, `"`, `\"`) + `"]`
			case name == "":
				name = step
			default:
				name += "." + step
			}
		}
	}
	diff := &pulumirpc.PropertyDiff{Kind: kind, InputDiff: kind == pulumirpc.PropertyDiff_DELETE}
	for _, forced := range d.forced {
		if touches(keys, value, strings.Split(forced, ".")) {
			diff.Kind = kind + 1 // each kind is followed by its _REPLACE
			break
		}
	}
	d.found[name] = diff
}

// touches tells whether a change at the path affects the forced field: at or below it, or above it with the field inside the new
// value. An unknown value hides the field, which the real provider then considers gone.
func touches(path []string, value any, forced []string) bool {
	for i, key := range forced {
		if i < len(path) {
			if path[i] != key {
				return false
			}
			continue
		}
		if _, hidden := value.(unknown); hidden {
			return true
		}
		inner, ok := value.(object)
		if value, ok = inner[key]; !ok {
			return false
		}
	}
	return true
}

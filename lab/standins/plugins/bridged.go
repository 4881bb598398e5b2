// What the random and tls plugins share: both are Terraform providers behind Pulumi's bridge, driven here by attribute tables.
package main

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// attribute is one property of a resource.
type attribute struct {
	kind     string // its form in Terraform: list, map or block (an object, there a list of one); "" for a plain value
	computed bool   // the provider fills it in
	refused  bool   // an input of the real provider, but not of the stand-in
	secret   bool
	inPlace  bool // a change updates instead of replacing
	fallback any  // the schema's default
	fields   []string
}

// kind is one resource type.
type kind struct {
	attributes map[string]attribute
	meta       string // the schema version that the bridge keeps in __meta
	check      func(inputs object) (path, reason string)
	create     func(inputs object) (id string, computed object, err error)
	// renewal tells whether the resource is due for replacement; nil if time plays no part.
	renewal func(state object) bool
}

type bridged struct {
	pulumirpc.UnimplementedResourceProviderServer
	kinds   map[string]kind
	engine  *engine
	version string
}

func (b *bridged) Handshake(context.Context, *pulumirpc.ProviderHandshakeRequest) (*pulumirpc.ProviderHandshakeResponse, error) {
	return nil, grpcstatus.Error(codes.Unimplemented, "Handshake is not yet implemented")
}

func (b *bridged) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: b.version}, nil
}

func (b *bridged) CheckConfig(_ context.Context, r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	return &pulumirpc.CheckResponse{Inputs: r.News}, nil
}

func (b *bridged) DiffConfig(context.Context, *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	return &pulumirpc.DiffResponse{}, nil
}

func (b *bridged) Configure(context.Context, *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	// No acceptSecrets: the bridge wants plain inputs, and itself marks what its schema calls sensitive.
	return &pulumirpc.ConfigureResponse{SupportsPreview: true, AcceptResources: true, SupportsAutonamingConfiguration: true}, nil
}

func (b *bridged) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

func (b *bridged) kind(urn string) (kind, error) {
	token, _ := splitURN(urn)
	k, ok := b.kinds[token]
	if !ok {
		return k, grpcstatus.Errorf(codes.NotFound, "the stand-in has no resource type %q", token)
	}
	return k, nil
}

// splitURN returns the resource's own type token and name.
func splitURN(urn string) (token, name string) {
	parts := strings.SplitN(urn, "::", 4)
	if len(parts) < 4 {
		return "", ""
	}
	return parts[2][strings.LastIndex(parts[2], "$")+1:], parts[3]
}

func (b *bridged) Check(_ context.Context, r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	k, err := b.kind(r.Urn)
	if err != nil {
		return nil, err
	}
	_, name := splitURN(r.Urn)
	inputs := revealed(r.News)
	response := &pulumirpc.CheckResponse{}
	fail := func(path, reason string) {
		reason += ". Examine values at '" + name + "." + path + "'."
		response.Failures = append(response.Failures, &pulumirpc.CheckFailure{Reason: reason})
	}
	for _, key := range sortedKeys(inputs) {
		a, known := k.attributes[key]
		switch {
		case inputs[key] == nil:
			delete(inputs, key)
		case !known || a.computed || a.refused:
			fail(key, fmt.Sprintf("The stand-in takes no argument named %q", key))
		}
	}
	if k.check != nil {
		if path, reason := k.check(inputs); reason != "" {
			fail(path, reason)
		}
	}
	response.Inputs = toStruct(k.markSecrets(inputs, true))
	return response, nil
}

// markSecrets wraps what the schema calls sensitive. Unknown values are wrapped in inputs and bare in outputs.
func (k kind) markSecrets(values object, inputs bool) object {
	out := object{}
	for key, value := range values {
		if k.attributes[key].secret && (inputs || value != unknown{}) {
			value = secret{value}
		}
		out[key] = value
	}
	return out
}

// withDefaults returns what Terraform would plan: the inputs plus the schema's defaults.
func (k kind) withDefaults(inputs object) object {
	plan := object{}
	for key, a := range k.attributes {
		if value := inputs[key]; value != nil {
			plan[key] = value
		} else if a.fallback != nil {
			plan[key] = a.fallback
		}
	}
	return plan
}

func (b *bridged) Diff(_ context.Context, r *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	k, err := b.kind(r.Urn)
	if err != nil {
		return nil, err
	}
	state, plan := revealed(r.Olds), k.withDefaults(revealed(r.News))
	response := &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE}
	for _, key := range sortedKeys(k.attributes) {
		a := k.attributes[key]
		if a.computed || reflect.DeepEqual(state[key], plan[key]) {
			continue
		}
		response.Diffs = append(response.Diffs, key)
		if !a.inPlace {
			response.Replaces = append(response.Replaces, key)
		}
	}
	if k.renewal != nil && k.renewal(state) {
		response.Diffs, response.Replaces = append(response.Diffs, "readyForRenewal"), append(response.Replaces, "readyForRenewal")
	}
	if len(response.Diffs) > 0 {
		response.Changes = pulumirpc.DiffResponse_DIFF_SOME
	}
	return response, nil
}

func (b *bridged) Create(_ context.Context, r *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	k, err := b.kind(r.Urn)
	if err != nil {
		return nil, err
	}
	plan := k.withDefaults(revealed(r.Properties))
	if r.Preview {
		for key, a := range k.attributes {
			if _, planned := plan[key]; a.computed && !planned {
				plan[key] = unknown{}
			}
		}
		plan["id"] = unknown{}
		return &pulumirpc.CreateResponse{Properties: toStruct(k.markSecrets(plan, false))}, nil
	}
	if has[unknown](plan) {
		return nil, fmt.Errorf("an input of %s is still unknown", r.Urn)
	}
	id, computed, err := k.create(plan)
	if err != nil {
		summary, detail, _ := strings.Cut(err.Error(), ": ")
		b.engine.log(r.Urn, pulumirpc.LogSeverity_ERROR, false, fmt.Sprintf("[ERROR] %s: %s", detail, summary))
		return nil, grpcstatus.Error(codes.Unknown, err.Error())
	}
	plan = merged(plan, computed)
	plan["id"] = id
	return &pulumirpc.CreateResponse{Id: id, Properties: k.state(plan)}, nil
}

// state adds what the bridge keeps for itself besides the outputs.
func (k kind) state(values object) *structpb.Struct {
	out := k.markSecrets(values, false)
	if k.meta != "" {
		out["__meta"] = `{"schema_version":"` + k.meta + `"}`
	}
	out["__pulumi_raw_state_delta"] = object{"obj": k.delta(values)}
	return toStruct(out)
}

// delta records how Terraform's state differs from the outputs: which values are null, lists or maps there.
func (k kind) delta(values object) object {
	null := secret{object{"replace": object{"raw": nil}}}
	parts := object{}
	for key, a := range k.attributes {
		value, given := values[key]
		switch {
		case !given:
			parts[key] = null
		case a.kind == "list":
			parts[key] = object{"arr": object{}}
		case a.kind == "map":
			parts[key] = object{"map": object{}}
		case a.kind == "block":
			inner, renamed := object{}, object{}
			for _, field := range a.fields {
				if at(value, field) == nil {
					inner[field] = null
				}
				if field == "streetAddresses" { // the one name whose singular the bridge cannot derive
					renamed[field] = "street_address"
				}
			}
			parts[key] = object{"plu": object{"i": object{"obj": object{"ps": inner, "renamed": renamed}}}}
		}
	}
	if len(parts) == 0 {
		return object{}
	}
	return object{"ps": parts}
}

func (b *bridged) Read(_ context.Context, r *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	k, err := b.kind(r.Urn)
	if err != nil {
		return nil, err
	}
	if len(r.Properties.GetFields()) == 0 {
		return nil, grpcstatus.Errorf(codes.Unimplemented, "the stand-in cannot import %s", r.Urn)
	}
	values, _ := splitState(revealed(r.Properties))
	if k.renewal != nil && k.renewal(values) {
		values["readyForRenewal"] = true
	}
	return &pulumirpc.ReadResponse{Id: r.Id, Properties: k.state(values), Inputs: toStruct(k.markSecrets(revealed(r.Inputs), true))}, nil
}

func (b *bridged) Delete(context.Context, *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil // nothing exists outside the state
}

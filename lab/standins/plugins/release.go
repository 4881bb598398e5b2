// helm.sh/v3:Release, by Helm's own action package: hooks, waits and rollbacks are the real ones.
package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/cli"
	"helm.sh/helm/v3/pkg/registry"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
	"helm.sh/helm/v3/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

// Every input of a Release with the value that Check gives it when the program gives none.
var releaseDefaults = object{
	"allowNullValues": false, "atomic": false, "chart": "", "cleanupOnFail": false, "createNamespace": false, "dependencyUpdate": false, "description": "", "devel": false,
	"disableCRDHooks": false, "disableOpenapiValidation": false, "disableWebhooks": false, "forceUpdate": false, "keyring": "", "lint": false, "name": "", "namespace": "",
	"postrender": "", "recreatePods": false, "renderSubchartNotes": false, "replace": false, "resetValues": false, "reuseValues": false, "skipAwait": false, "skipCrds": false,
	"timeout": int64(0), "values": object{}, "verify": false, "version": "", "waitForJobs": false,
}

// Inputs that the stand-in does not do: a program that sets one is refused.
var releaseRefused = []string{"dependencyUpdate", "keyring", "lint", "postrender", "verify", "valueYamlFiles"}

const releaseTimeout = 300 // seconds, the real provider's default

// helmAccess hands Helm the clients that the provider has already.
type helmAccess struct {
	k         *kubernetes
	namespace string
}

func (h helmAccess) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(h.k.config), nil }
func (h helmAccess) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return h.k.discovery, nil
}
func (h helmAccess) ToRESTMapper() (meta.RESTMapper, error) { return h.k.mapper, nil }

// ToRawKubeConfigLoader makes the release's namespace the default for templates that name none.
func (h helmAccess) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	raw, err := h.k.loader.RawConfig()
	if err != nil {
		return h.k.loader
	}
	overrides := &clientcmd.ConfigOverrides{CurrentContext: h.k.settings["context"]}
	overrides.Context.Cluster, overrides.Context.Namespace = h.k.settings["cluster"], h.namespace
	return clientcmd.NewDefaultClientConfig(raw, overrides)
}

func (k *kubernetes) helm(namespace string) (*action.Configuration, error) {
	if k.config == nil {
		return nil, errors.New(k.unreachable)
	}
	configuration := &action.Configuration{}
	// Helm's debug output could show values: it goes nowhere.
	if err := configuration.Init(helmAccess{k, namespace}, namespace, "secret", func(string, ...any) {}); err != nil {
		return nil, err
	}
	client, err := registry.NewClient(registry.ClientOptWriter(io.Discard), registry.ClientOptEnableCache(true), registry.ClientOptCredentialsFile(cli.New().RegistryConfig))
	configuration.RegistryClient = client
	return configuration, err
}

// locate finds the chart: a local folder or archive, an OCI reference, or a name in a repository.
func locate(in object, options *action.ChartPathOptions) (*chart.Chart, error) {
	name := strings.TrimSpace(text(in, "chart"))
	if options.Version = strings.TrimSpace(text(in, "version")); options.Version == "" && in["devel"] == true {
		options.Version = ">0.0.0-0"
	}
	if repository, ok := in["repositoryOpts"].(object); ok {
		options.CaFile, options.CertFile, options.KeyFile = text(repository, "caFile"), text(repository, "certFile"), text(repository, "keyFile")
		options.Username, options.Password = text(repository, "username"), text(repository, "password")
		if where := text(repository, "repo"); registry.IsOCI(name) || where == "" {
		} else if _, err := url.ParseRequestURI(where); err == nil {
			options.RepoURL = where
		} else if !strings.Contains(name, "/") {
			name = where + "/" + name
		}
	}
	path, err := options.LocateChart(name, cli.New())
	if err != nil {
		return nil, err
	}
	found, err := loader.Load(path)
	if err != nil {
		return nil, err
	}
	return found, action.CheckDependencies(found, found.Metadata.Dependencies)
}

// helmValues turns numbers into what Helm reads from YAML.
func helmValues(in object) object {
	values, _ := mapValue(in["values"], func(v any) (any, bool) {
		if n, ok := v.(int64); ok {
			return float64(n), true
		}
		return nil, false
	}).(object)
	if values == nil {
		values = object{}
	}
	return values
}

func (k *kubernetes) checkRelease(r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	news, olds := fromStruct(r.News), revealObject(fromStruct(r.Olds))
	response := &pulumirpc.CheckResponse{}
	fail := func(property, format string, args ...any) {
		response.Failures = append(response.Failures, &pulumirpc.CheckFailure{Property: property, Reason: fmt.Sprintf(format, args...)})
	}
	given := revealObject(news)
	for _, key := range sortedKeys(given) {
		_, known := releaseDefaults[key]
		refused := slices.Contains(releaseRefused, key) && given[key] != nil && given[key] != false && given[key] != ""
		if refused || !known && !slices.Contains([]string{"compat", "maxHistory", "repositoryOpts", "resourceNames", "status"}, key) {
			fail(key, "the stand-in of the kubernetes provider does not do the Release input %q", key)
		}
	}
	inputs := object{}
	for key, value := range merged(releaseDefaults, given) {
		if key != "compat" && key != "resourceNames" && key != "status" && value != nil {
			inputs[key] = value
		}
	}
	if inputs["name"] == "" {
		if inputs["name"] = text(olds, "name"); inputs["name"] == "" {
			_, name := splitURN(r.Urn)
			inputs["name"] = uniqueName(r.RandomSeed, name+"-")
		}
	}
	if inputs["namespace"] == "" {
		inputs["namespace"] = k.namespace
	}
	if _, set := given["timeout"]; !set && inputs["skipAwait"] != true {
		inputs["timeout"] = int64(releaseTimeout)
	}
	if !hasUnknown(inputs) && len(response.Failures) == 0 {
		if found, err := k.loadChart(inputs); err != nil {
			fail("chart", "%v; check the chart name and repository configuration.", err)
		} else {
			// The version asked for may be a range; what is compared later is the one that it means today.
			inputs["version"] = found.Metadata.Version
			k.learnScopes(found, inputs)
		}
	}
	annotateSecrets(inputs, news)
	response.Inputs = toStruct(inputs)
	return response, nil
}

func (k *kubernetes) loadChart(in object) (*chart.Chart, error) {
	configuration, err := k.helm(text(in, "namespace"))
	if err != nil {
		return nil, err
	}
	return locate(in, &action.NewInstall(configuration).ChartPathOptions)
}

// learnScopes notes which kinds the chart will define, so that a preview knows them to be cluster-wide before they are installed.
func (k *kubernetes) learnScopes(found *chart.Chart, in object) {
	configuration, err := k.helm(text(in, "namespace"))
	if err != nil {
		return
	}
	render := action.NewInstall(configuration)
	render.ClientOnly, render.DryRun, render.IncludeCRDs = true, true, in["skipCrds"] != true
	render.ReleaseName, render.Namespace = text(in, "name"), text(in, "namespace")
	rendered, err := render.Run(found, helmValues(in))
	if err != nil || rendered == nil {
		return // whatever is wrong, the installation will say so
	}
	k.mutex.Lock()
	defer k.mutex.Unlock()
	for _, document := range releaseutil.SplitManifests(rendered.Manifest) {
		var o object
		if yaml.Unmarshal([]byte(document), &o) == nil && o["kind"] == "CustomResourceDefinition" {
			k.scopes[schema.GroupKind{Group: text(o, "spec", "group"), Kind: text(o, "spec", "names", "kind")}] = text(o, "spec", "scope") == "Namespaced"
		}
	}
}

func (k *kubernetes) diffRelease(r *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	stored, news := revealObject(fromStruct(r.Olds)), revealObject(fromStruct(r.News))
	_, oldInputs := splitState(stored)
	if slices.Contains(r.IgnoreChanges, "version") {
		news["version"] = stored["version"]
	}
	d := differ{forced: []string{"name", "namespace"}, found: map[string]*pulumirpc.PropertyDiff{}}
	d.compareObjects(nil, stored, news, oldInputs)
	response := &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE, DetailedDiff: d.found, HasDetailedDiff: len(d.found) > 0, Replaces: d.replaces()}
	for path := range d.found {
		response.Changes = pulumirpc.DiffResponse_DIFF_SOME
		top := path[:strings.IndexAny(path+".", ".[")]
		if !slices.Contains(response.Diffs, top) {
			response.Diffs = append(response.Diffs, top)
		}
	}
	sort.Strings(response.Diffs)
	return response, nil
}

// releaseState is what the engine stores; the inputs may hold secret values anywhere and are kept secret as a whole.
func releaseState(outputs, inputs object) *structpb.Struct {
	out := mapValue(outputs, func(any) (any, bool) { return nil, false }).(object)
	annotateSecrets(out, inputs)
	out["__inputs"] = secret{inputs}
	return toStruct(out)
}

// observed adds what the cluster knows of the release to its outputs.
func observed(outputs object, found *release.Release) {
	values, _ := outputs["values"].(object)
	outputs["values"] = mergedDeep(values, found.Config)
	outputs["version"] = found.Chart.Metadata.Version
	names := map[string]map[string]bool{}
	for _, document := range releaseutil.SplitManifests(found.Manifest) {
		var o object
		if yaml.Unmarshal([]byte(document), &o) != nil || text(o, "kind") == "" {
			continue
		}
		key := gvkOf(o).GroupKind().String() + "/" + text(o, "apiVersion")
		if names[key] == nil {
			names[key] = map[string]bool{}
		}
		names[key][objectID(o)] = true
	}
	resourceNames := object{}
	for key, set := range names {
		resourceNames[key] = sortedKeys(set)
	}
	outputs["resourceNames"] = resourceNames
	outputs["status"] = object{"appVersion": found.Chart.Metadata.AppVersion, "chart": found.Chart.Metadata.Name, "name": found.Name, "namespace": found.Namespace,
		"revision": found.Version, "status": found.Info.Status.String(), "version": found.Chart.Metadata.Version}
}

func mergedDeep(a, b object) object {
	out := merged(a, b)
	for key, value := range b {
		if inner, ok := value.(object); ok {
			if outer, ok := a[key].(object); ok {
				out[key] = mergedDeep(outer, inner)
			}
		}
	}
	return out
}

// releaseFailed is an installation or upgrade that left a release behind, in failed status.
type releaseFailed struct {
	id  string
	err error
}

func (e *releaseFailed) Error() string {
	return fmt.Sprintf("failed to become available within allocated timeout. Error: Helm Release %s: %v", e.id, e.err)
}

func flag(in object, key string) bool { return in[key] == true }

func helmTimeout(in object) time.Duration {
	if n, _ := in["timeout"].(int64); n > 0 {
		return time.Duration(n) * time.Second
	}
	return releaseTimeout * time.Second
}

func (k *kubernetes) createRelease(r *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	marked := fromStruct(r.Properties)
	in := revealObject(marked)
	if r.Preview {
		return &pulumirpc.CreateResponse{Properties: releaseState(pending(in), marked)}, nil
	}
	if k.unreachable != "" {
		return nil, fmt.Errorf("can't create Helm Release with unreachable cluster: %s", k.unreachable)
	}
	id := text(in, "namespace") + "/" + text(in, "name")
	err := k.install(r.Urn, id, in)
	var failed *releaseFailed
	if err != nil && !errors.As(err, &failed) {
		return nil, err
	}
	properties := releaseState(in, marked)
	if failed != nil {
		return nil, initFailed(id, fmt.Errorf("Helm release %q was created, but failed to initialize completely. Use Helm CLI to investigate: %w", id, err), properties, nil)
	}
	k.mapper.Reset() // the chart may have brought kinds
	return &pulumirpc.CreateResponse{Id: id, Properties: properties}, nil
}

// pending marks the outputs that only the cluster can tell.
func pending(in object) object {
	return merged(in, object{"resourceNames": unknown{unknownString}, "status": unknown{unknownString}})
}

// install adds the outcome to in.
func (k *kubernetes) install(urn, id string, in object) error {
	configuration, err := k.helm(text(in, "namespace"))
	if err != nil {
		return err
	}
	i := action.NewInstall(configuration)
	found, err := locate(in, &i.ChartPathOptions)
	if err != nil {
		return err
	}
	if kind := found.Metadata.Type; kind != "" && kind != "application" {
		return fmt.Errorf("%s charts are not installable", kind)
	}
	i.ReleaseName, i.Namespace, i.CreateNamespace = text(in, "name"), text(in, "namespace"), flag(in, "createNamespace")
	i.Wait, i.WaitForJobs, i.Timeout = !flag(in, "skipAwait"), !flag(in, "skipAwait") && flag(in, "waitForJobs"), helmTimeout(in)
	i.Atomic, i.Replace, i.Devel, i.SkipCRDs = flag(in, "atomic"), flag(in, "replace"), flag(in, "devel"), flag(in, "skipCrds")
	i.DisableHooks, i.DisableOpenAPIValidation = flag(in, "disableWebhooks"), flag(in, "disableOpenapiValidation")
	i.SubNotes, i.Description = flag(in, "renderSubchartNotes"), text(in, "description")
	done, err := i.RunWithContext(k.context, found, helmValues(in))
	if err == nil {
		observed(in, done)
		return nil
	}
	if done == nil {
		return err
	}
	if _, lookup := action.NewGet(configuration).Run(i.ReleaseName); lookup != nil {
		return err // an atomic release has been taken back
	}
	observed(in, done)
	k.engine.log(urn, pulumirpc.LogSeverity_WARNING, false, fmt.Sprintf("Helm release %q was created but has a failed status. "+
		"Use the `helm` command to investigate the error, correct it, then retry. Reason: %v", i.ReleaseName, err))
	return &releaseFailed{id, err}
}

func (k *kubernetes) updateRelease(r *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	marked := fromStruct(r.News)
	in := revealObject(marked)
	if r.Preview {
		return &pulumirpc.UpdateResponse{Properties: releaseState(pending(in), marked)}, nil
	}
	if k.unreachable != "" {
		return nil, fmt.Errorf("can't update Helm Release with unreachable cluster: %s", k.unreachable)
	}
	err := k.upgrade(revealObject(fromStruct(r.Olds)), in)
	var failed *releaseFailed
	if err != nil && !errors.As(err, &failed) {
		return nil, err
	}
	properties := releaseState(in, marked)
	if failed != nil {
		return nil, initFailed(failed.id, fmt.Errorf("Helm release %q failed to initialize completely. Use Helm CLI to investigate: %w", failed.id, failed), properties, nil)
	}
	k.mapper.Reset()
	return &pulumirpc.UpdateResponse{Properties: properties}, nil
}

// upgrade adds the outcome to in.
func (k *kubernetes) upgrade(stored, in object) error {
	configuration, err := k.helm(text(stored, "namespace"))
	if err != nil {
		return err
	}
	u := action.NewUpgrade(configuration)
	found, err := locate(in, &u.ChartPathOptions)
	if err != nil {
		return err
	}
	u.Namespace, u.Devel, u.Description = text(in, "namespace"), flag(in, "devel"), text(in, "description")
	u.Wait, u.WaitForJobs, u.Timeout = !flag(in, "skipAwait"), !flag(in, "skipAwait") && flag(in, "waitForJobs"), helmTimeout(in)
	u.Atomic, u.CleanupOnFail, u.Force, u.Recreate = flag(in, "atomic"), flag(in, "cleanupOnFail"), flag(in, "forceUpdate"), flag(in, "recreatePods")
	u.DisableHooks, u.SubNotes = flag(in, "disableCRDHooks"), flag(in, "renderSubchartNotes")
	u.ResetValues, u.ReuseValues = flag(in, "resetValues"), flag(in, "reuseValues")
	history, _ := in["maxHistory"].(int64)
	u.MaxHistory = int(history)
	done, err := u.RunWithContext(k.context, text(in, "name"), found, helmValues(in))
	switch {
	case err == nil:
		observed(in, done)
		return nil
	case done == nil || errors.Is(err, driver.ErrNoDeployedReleases):
		return err
	}
	observed(in, done)
	return &releaseFailed{text(in, "namespace") + "/" + text(in, "name"), err}
}

func (k *kubernetes) readRelease(r *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	stored := fromStruct(r.Properties)
	wrapped, isSecret := stored["__inputs"].(secret)
	marked, _ := wrapped.value.(object)
	if !isSecret || marked == nil {
		return nil, fmt.Errorf("the stand-in of the kubernetes provider cannot import the Release %s", r.Id)
	}
	outputs, _ := splitState(revealObject(stored))
	configuration, err := k.helm(text(outputs, "namespace"))
	if err != nil {
		return nil, err
	}
	found, err := action.NewGet(configuration).Run(text(outputs, "name"))
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return &pulumirpc.ReadResponse{}, nil
	} else if err != nil {
		return nil, err
	}
	observed(outputs, found)
	return &pulumirpc.ReadResponse{Id: r.Id, Properties: releaseState(outputs, marked), Inputs: toStruct(marked)}, nil
}

func (k *kubernetes) deleteRelease(r *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	if k.unreachable != "" {
		return nil, fmt.Errorf("can't delete Helm Release with unreachable cluster. Reason: %q", k.unreachable)
	}
	stored := revealObject(fromStruct(r.Properties))
	configuration, err := k.helm(text(stored, "namespace"))
	if err != nil {
		return nil, err
	}
	u := action.NewUninstall(configuration)
	if flag(stored, "atomic") || !flag(stored, "skipAwait") {
		u.Wait, u.Timeout = true, helmTimeout(stored)
	}
	done, err := u.Run(text(stored, "name"))
	if err != nil {
		return nil, err
	}
	if done.Info != "" {
		k.engine.log(r.Urn, pulumirpc.LogSeverity_WARNING, false, fmt.Sprintf("Helm uninstall returned information: %q", done.Info))
	}
	return &emptypb.Empty{}, nil
}

// helm.sh/v3:Release, using Helm's own action package: hooks, waits and rollbacks are the real ones.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
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
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"
)

// Every input of a Release with the value that Check sets if the program sets none.
var releaseDefaults = object{
	"allowNullValues": false, "atomic": false, "chart": "", "cleanupOnFail": false, "createNamespace": false, "dependencyUpdate": false, "description": "", "devel": false,
	"disableCRDHooks": false, "disableOpenapiValidation": false, "disableWebhooks": false, "forceUpdate": false, "keyring": "", "lint": false, "name": "", "namespace": "",
	"postrender": "", "recreatePods": false, "renderSubchartNotes": false, "replace": false, "resetValues": false, "reuseValues": false, "skipAwait": false, "skipCrds": false,
	"timeout": int64(0), "values": object{}, "verify": false, "version": "", "waitForJobs": false,
}

// The inputs that the stand-in honours; programs that set others are refused. compat is the SDK's.
var releaseInputs = []string{"chart", "compat", "createNamespace", "name", "namespace", "timeout", "values", "version"}

const releaseTimeout = 300 // seconds, the real provider's default

// helmAccess gives Helm the provider's existing clients.
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
	overrides := &clientcmd.ConfigOverrides{CurrentContext: h.k.settings["context"], Context: clientcmdapi.Context{Namespace: h.namespace}}
	return clientcmd.NewDefaultClientConfig(raw, overrides)
}

func (k *kubernetes) helm(namespace string) (*action.Configuration, error) {
	if k.config == nil {
		return nil, k.unreachable
	}
	configuration := &action.Configuration{}
	// Helm's debug output could show values: discard it.
	if err := configuration.Init(helmAccess{k, namespace}, namespace, "secret", func(string, ...any) {}); err != nil {
		return nil, err
	}
	client, err := registry.NewClient(registry.ClientOptWriter(io.Discard), registry.ClientOptEnableCache(true), registry.ClientOptCredentialsFile(cli.New().RegistryConfig))
	configuration.RegistryClient = client
	return configuration, err
}

// locate finds the chart: a local folder or archive, or an OCI reference.
func locate(in object, options *action.ChartPathOptions) (*chart.Chart, error) {
	options.Version = strings.TrimSpace(text(in, "version"))
	path, err := options.LocateChart(strings.TrimSpace(text(in, "chart")), cli.New())
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
		n, isNumber := v.(int64)
		return float64(n), isNumber
	}).(object)
	return merged(values, nil)
}

func (k *kubernetes) checkRelease(r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	given := revealed(r.News)
	response := &pulumirpc.CheckResponse{}
	inputs := merged(releaseDefaults, given)
	delete(inputs, "compat")
	for _, key := range sortedKeys(inputs) {
		if !slices.Contains(releaseInputs, key) && !reflect.DeepEqual(inputs[key], releaseDefaults[key]) {
			response.Failures = append(response.Failures, refusal(key))
		}
	}
	if inputs["name"] == "" {
		_, name := splitURN(r.Urn)
		inputs["name"] = cmp.Or(text(revealed(r.Olds), "name"), uniqueName(r.RandomSeed, name+"-"))
	}
	if inputs["namespace"] == "" {
		inputs["namespace"] = k.namespace
	}
	if given["timeout"] == nil {
		inputs["timeout"] = int64(releaseTimeout)
	}
	if !has[unknown](inputs) && len(response.Failures) == 0 {
		if found, err := k.loadChart(inputs); err != nil {
			response.Failures = append(response.Failures, &pulumirpc.CheckFailure{Property: "chart",
				Reason: fmt.Sprintf("%v; check the chart name and repository configuration.", err)})
		} else {
			// The requested version may be a range; compare later with the version it resolves to today.
			inputs["version"] = found.Metadata.Version
			k.learnScopes(found, inputs)
		}
	}
	annotateSecrets(inputs, fromStruct(r.News))
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

// learnScopes notes which kinds the chart will define, so that a preview knows which are cluster-wide before they are installed.
func (k *kubernetes) learnScopes(found *chart.Chart, in object) {
	configuration, err := k.helm(text(in, "namespace"))
	if err != nil {
		return
	}
	render := action.NewInstall(configuration)
	render.ClientOnly, render.DryRun, render.IncludeCRDs = true, true, true
	render.ReleaseName, render.Namespace = text(in, "name"), text(in, "namespace")
	rendered, err := render.Run(found, helmValues(in))
	if err != nil || rendered == nil {
		return // if something is wrong, the installation will say so
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
	stored, news := revealed(r.Olds), revealed(r.News)
	_, oldInputs := splitState(stored)
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
	slices.Sort(response.Diffs)
	return response, nil
}

// releaseState is what the engine stores; the inputs may contain secrets anywhere, so they are kept secret as a whole.
func releaseState(outputs, inputs object) *structpb.Struct {
	out := copyOf(outputs)
	annotateSecrets(out, inputs)
	out["__inputs"] = secret{inputs}
	return toStruct(out)
}

// observed adds what the cluster knows about the release to its outputs.
func observed(outputs object, found *release.Release) {
	values, _ := outputs["values"].(object)
	outputs["values"] = mergedDeep(values, found.Config)
	outputs["version"] = found.Chart.Metadata.Version
	resourceNames := object{}
	for _, document := range releaseutil.SplitManifests(found.Manifest) {
		var o object
		if yaml.Unmarshal([]byte(document), &o) == nil && text(o, "kind") != "" {
			key := gvkOf(o).GroupKind().String() + "/" + text(o, "apiVersion")
			resourceNames[key] = append(list(resourceNames, key), objectID(o))
		}
	}
	for _, names := range resourceNames {
		slices.SortFunc(names.([]any), func(a, b any) int { return strings.Compare(text(a), text(b)) })
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

func helmTimeout(in object) time.Duration {
	return time.Duration(cmp.Or(count(in, "timeout"), releaseTimeout)) * time.Second
}

func (k *kubernetes) createRelease(r *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	marked, in := fromStruct(r.Properties), revealed(r.Properties)
	if r.Preview {
		return &pulumirpc.CreateResponse{Properties: pending(in, marked)}, nil
	}
	properties, err := k.deploy(in, marked, "was created, but failed", func(configuration *action.Configuration, found *chart.Chart) (*release.Release, error) {
		i := action.NewInstall(configuration)
		i.ReleaseName, i.Namespace, i.CreateNamespace = text(in, "name"), text(in, "namespace"), in["createNamespace"] == true
		i.Wait, i.Timeout = true, helmTimeout(in)
		return i.RunWithContext(k.context, found, helmValues(in))
	})
	return &pulumirpc.CreateResponse{Id: text(in, "namespace") + "/" + text(in, "name"), Properties: properties}, err
}

func (k *kubernetes) updateRelease(r *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	marked, in := fromStruct(r.News), revealed(r.News)
	if r.Preview {
		return &pulumirpc.UpdateResponse{Properties: pending(in, marked)}, nil
	}
	properties, err := k.deploy(in, marked, "failed", func(configuration *action.Configuration, found *chart.Chart) (*release.Release, error) {
		u := action.NewUpgrade(configuration)
		u.Namespace, u.Wait, u.Timeout = text(in, "namespace"), true, helmTimeout(in)
		return u.RunWithContext(k.context, text(in, "name"), found, helmValues(in))
	})
	return &pulumirpc.UpdateResponse{Properties: properties}, err
}

// pending is the state in a preview, where what only the cluster can tell is unknown.
func pending(in, marked object) *structpb.Struct {
	return releaseState(merged(in, object{"resourceNames": unknown{}, "status": unknown{}}), marked)
}

// deploy installs or upgrades the release, adds the outcome to in, and returns the state to store.
func (k *kubernetes) deploy(in, marked object, failed string, run func(*action.Configuration, *chart.Chart) (*release.Release, error)) (*structpb.Struct, error) {
	if k.unreachable != nil {
		return nil, fmt.Errorf("can't change a Helm Release with unreachable cluster: %w", k.unreachable)
	}
	configuration, err := k.helm(text(in, "namespace"))
	if err != nil {
		return nil, err
	}
	found, err := locate(in, &action.NewInstall(configuration).ChartPathOptions)
	if err != nil {
		return nil, err
	}
	done, err := run(configuration, found)
	if err != nil {
		if _, missing := action.NewGet(configuration).Run(text(in, "name")); done == nil || missing != nil {
			return nil, err // nothing was left behind
		}
	}
	k.mapper.Reset() // the chart may have brought kinds
	observed(in, done)
	properties := releaseState(in, marked)
	if err != nil {
		id := text(in, "namespace") + "/" + text(in, "name")
		return nil, initFailed(id, fmt.Errorf("Helm release %q %s to initialize completely. Use Helm CLI to investigate: "+
			"failed to become available within allocated timeout. Error: Helm Release %s: %w", id, failed, id, err), properties, nil)
	}
	return properties, nil
}

func (k *kubernetes) readRelease(r *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	stored := fromStruct(r.Properties)
	wrapped, isSecret := stored["__inputs"].(secret)
	marked, _ := wrapped.value.(object)
	if !isSecret || marked == nil {
		return nil, fmt.Errorf("the stand-in of the kubernetes provider cannot import the Release %s", r.Id)
	}
	outputs, _ := splitState(revealed(r.Properties))
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
	if k.unreachable != nil {
		return nil, fmt.Errorf("can't delete Helm Release with unreachable cluster. Reason: %q", k.unreachable)
	}
	stored := revealed(r.Properties)
	configuration, err := k.helm(text(stored, "namespace"))
	if err != nil {
		return nil, err
	}
	u := action.NewUninstall(configuration)
	u.Wait, u.Timeout = true, helmTimeout(stored)
	done, err := u.Run(text(stored, "name"))
	if err != nil {
		return nil, err
	}
	if done.Info != "" {
		k.engine.log(r.Urn, pulumirpc.LogSeverity_WARNING, false, fmt.Sprintf("Helm uninstall returned information: %q", done.Info))
	}
	return &emptypb.Empty{}, nil
}

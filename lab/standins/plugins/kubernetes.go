// The kubernetes plugin: configuration and the naming and checking of inputs. What touches the cluster is in objects.go,
// the comparison in diff.go, the waiting in await.go, Helm releases in release.go.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/emptypb"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	autonamed    = "pulumi.com/autonamed"
	skipAwait    = "pulumi.com/skipAwait"
	patchForced  = "pulumi.com/patchForce"
	fieldManager = "pulumi.com/patchFieldManager"
)

type kubernetes struct {
	pulumirpc.UnimplementedResourceProviderServer
	engine  *engine
	version string
	context context.Context // ends with Cancel
	cancel  context.CancelFunc

	settings    map[string]string // provider inputs by their short names; everything is a string
	unreachable string            // why the cluster cannot be used; "" when it can
	namespace   string            // the kubeconfig's, for objects that name none

	config    *rest.Config
	loader    clientcmd.ClientConfig
	discovery discovery.CachedDiscoveryInterface
	mapper    *restmapper.DeferredDiscoveryRESTMapper
	dynamic   dynamic.Interface

	mutex  sync.Mutex
	scopes map[schema.GroupKind]bool // namespaced or not: what charts of this program will install
}

func newKubernetes(e *engine, version string) *kubernetes {
	ctx, cancel := context.WithCancel(context.Background())
	return &kubernetes{engine: e, version: version, context: ctx, cancel: cancel, scopes: map[schema.GroupKind]bool{}}
}

func (k *kubernetes) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: k.version}, nil
}

func (k *kubernetes) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	k.cancel()
	return &emptypb.Empty{}, nil
}

// The provider settings that the stand-in honours. Others are refused rather than ignored.
var providerSettings = []string{
	"cluster", "clusterIdentifier", "context", "deleteUnreachable", "enableConfigMapMutable", "enablePatchForce", "enableSecretMutable", "enableServerSideApply",
	"kubeClientSettings", "kubeconfig", "namespace", "skipUpdateUnreachable", "strictMode", "suppressDeprecationWarnings", "suppressHelmHookWarnings",
	"upsertExistingObjects", "version", "pluginDownloadURL",
}

func (k *kubernetes) CheckConfig(_ context.Context, r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	news := revealObject(fromStruct(r.News))
	response := &pulumirpc.CheckResponse{Inputs: r.News}
	fail := func(property, format string, args ...any) {
		response.Failures = append(response.Failures, &pulumirpc.CheckFailure{Property: property, Reason: fmt.Sprintf(format, args...)})
	}
	for _, key := range sortedKeys(news) {
		if !slices.Contains(providerSettings, key) || key == "enableServerSideApply" && text(news, key) != "true" {
			fail(key, "the stand-in of the kubernetes provider does not do %s=%v", key, news[key])
		}
	}
	if text(news, "strictMode") == "true" {
		if _, name := splitURN(r.Urn); strings.HasPrefix(name, "default_") {
			fail("", "strict mode prohibits default provider")
		}
		for _, key := range []string{"kubeconfig", "context"} {
			if text(news, key) == "" {
				fail(key, "strict mode requires Provider %q argument", key)
			}
		}
	}
	return response, nil
}

func (k *kubernetes) DiffConfig(_ context.Context, r *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	olds, news := revealObject(fromStruct(r.Olds)), revealObject(fromStruct(r.News))
	response := &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE}
	for _, key := range sortedKeys(merged(olds, news)) {
		if !reflect.DeepEqual(olds[key], news[key]) {
			response.Diffs = append(response.Diffs, key)
		}
	}
	if len(response.Diffs) == 0 {
		return response, nil
	}
	response.Changes = pulumirpc.DiffResponse_DIFF_SOME
	identifiers := []string{text(olds, "clusterIdentifier"), text(news, "clusterIdentifier")}
	switch {
	case identifiers[0] != "" && identifiers[0] == identifiers[1]:
		return response, nil // the program vouches that it is the same cluster
	case identifiers[0] != "" && identifiers[1] != "":
		response.Replaces = append(response.Replaces, "clusterIdentifier")
	}
	where := []string{"kubeconfig", "context", "cluster"}
	for _, key := range where {
		if _, isUnknown := news[key].(unknown); isUnknown {
			response.Diffs, response.Replaces = []string{key}, append(response.Replaces, key)
			return response, nil
		}
	}
	before, err := activeCluster(olds)
	if err != nil {
		return nil, fmt.Errorf("failed to parse kubeconfig: %w", err)
	}
	after, err := activeCluster(news)
	if err != nil {
		return nil, fmt.Errorf("failed to parse kubeconfig: %w", err)
	}
	if before != nil && after != nil && !reflect.DeepEqual(before, after) {
		for _, key := range where {
			if slices.Contains(response.Diffs, key) {
				response.Replaces = append(response.Replaces, key)
			}
		}
	}
	return response, nil
}

func merged[V any](a, b map[string]V) map[string]V {
	out := map[string]V{}
	for key, value := range a {
		out[key] = value
	}
	for key, value := range b {
		out[key] = value
	}
	return out
}

// activeCluster is the cluster entry that provider inputs point to; nil when they name none.
func activeCluster(inputs object) (*clientcmdapi.Cluster, error) {
	if text(inputs, "kubeconfig") == "" {
		return nil, nil
	}
	config, err := loadKubeconfig(text(inputs, "kubeconfig"))
	if err != nil {
		return nil, err
	}
	name := config.CurrentContext
	if override := text(inputs, "context"); override != "" {
		name = override
	}
	entry := config.Contexts[name]
	if entry == nil {
		return nil, nil
	}
	if override := text(inputs, "cluster"); override != "" {
		return config.Clusters[override], nil
	}
	return config.Clusters[entry.Cluster], nil
}

// loadKubeconfig takes a path or the contents themselves.
func loadKubeconfig(pathOrContents string) (*clientcmdapi.Config, error) {
	if rest, ok := strings.CutPrefix(pathOrContents, "~/"); ok {
		if me, err := user.Current(); err == nil {
			pathOrContents = filepath.Join(me.HomeDir, rest)
		}
	}
	contents := []byte(pathOrContents)
	if _, err := os.Stat(pathOrContents); err == nil {
		if contents, err = os.ReadFile(pathOrContents); err != nil {
			return nil, err
		}
	}
	return clientcmd.Load(contents)
}

func (k *kubernetes) Configure(_ context.Context, r *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	k.settings = map[string]string{}
	for key, value := range r.Variables {
		k.settings[strings.TrimPrefix(key, "kubernetes:config:")] = value
	}
	k.namespace = k.settings["namespace"]
	overrides := &clientcmd.ConfigOverrides{CurrentContext: k.settings["context"],
		Context: clientcmdapi.Context{Cluster: k.settings["cluster"], Namespace: k.namespace}}
	if given := k.settings["kubeconfig"]; given != "" {
		config, err := loadKubeconfig(given)
		if err != nil {
			k.unreachable = fmt.Sprintf("failed to parse kubeconfig data in `kubernetes:config:kubeconfig`- %v", err)
		} else {
			k.loader = clientcmd.NewDefaultClientConfig(*config, overrides)
		}
	} else {
		k.loader = clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), overrides)
	}
	if k.loader != nil {
		if namespace, _, err := k.loader.Namespace(); err == nil {
			k.namespace = namespace
		}
		if err := k.connect(); err != nil {
			return nil, err
		}
	}
	return &pulumirpc.ConfigureResponse{AcceptSecrets: true, SupportsPreview: true, SupportsAutonamingConfiguration: true}, nil
}

// connect makes the clients. A cluster that does not answer is no error here: previews without it still work.
func (k *kubernetes) connect() error {
	config, err := k.loader.ClientConfig()
	if err != nil {
		k.unreachable = fmt.Sprintf("unable to load Kubernetes client configuration from kubeconfig file. Make sure you have: \n\n"+
			" \t • set up the provider as per https://www.pulumi.com/registry/packages/kubernetes/installation-configuration/ \n\n %v", err)
		return nil
	}
	var limits struct {
		Burst, Timeout int
		QPS            float32
	}
	limits.Burst, limits.QPS = 120, 50
	if settings := k.settings["kubeClientSettings"]; settings != "" {
		if err := json.Unmarshal([]byte(settings), &limits); err != nil {
			return fmt.Errorf("failed to unmarshal kubeClientSettings option: %w", err)
		}
	}
	config.Burst, config.QPS, config.Timeout = limits.Burst, limits.QPS, time.Duration(limits.Timeout)*time.Second
	config.WarningHandler = rest.NoWarnings{}
	config.UserAgent = "pulumi-kubernetes/" + k.version
	k.config = config
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return err
	}
	if k.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return err
	}
	k.discovery = memory.NewMemCacheClient(client)
	k.mapper = restmapper.NewDeferredDiscoveryRESTMapper(k.discovery)
	if _, err := client.ServerVersion(); err != nil {
		// The real provider loads the schema here; asking for it again gives its wording.
		err = client.RESTClient().Get().AbsPath("/openapi/v2").Timeout(32 * time.Second).Do(k.context).Error()
		k.unreachable = fmt.Sprintf("unable to load schema information from the API server: %v", err)
	}
	return nil
}

// option is a yes-or-no setting: the provider input, or else the environment variable.
func (k *kubernetes) option(name, variable string) bool {
	if value, given := k.settings[name]; given {
		return value == "true"
	}
	return os.Getenv(variable) == "true"
}

// builtinScopes are the kinds of Kubernetes itself that a program is likely to use: true where they live in a namespace.
var builtinScopes = map[string]bool{
	"ConfigMap": true, "CronJob": true, "DaemonSet": true, "Deployment": true, "Endpoints": true, "EndpointSlice": true, "HorizontalPodAutoscaler": true,
	"Ingress": true, "Job": true, "Lease": true, "LimitRange": true, "NetworkPolicy": true, "PersistentVolumeClaim": true, "Pod": true, "PodDisruptionBudget": true,
	"ReplicaSet": true, "ResourceQuota": true, "Role": true, "RoleBinding": true, "Secret": true, "Service": true, "ServiceAccount": true, "StatefulSet": true,
	"ClusterRole": false, "ClusterRoleBinding": false, "CustomResourceDefinition": false, "IngressClass": false, "MutatingWebhookConfiguration": false,
	"Namespace": false, "Node": false, "PersistentVolume": false, "PriorityClass": false, "RuntimeClass": false, "StorageClass": false,
	"ValidatingWebhookConfiguration": false,
}

// namespaced tells where objects of a kind live. A kind that nobody knows yet counts as namespaced, as with the real provider.
func (k *kubernetes) namespaced(gvk schema.GroupVersionKind) bool {
	if scope, known := builtinScopes[gvk.Kind]; known && builtin(gvk) {
		return scope
	}
	k.mutex.Lock()
	scope, known := k.scopes[gvk.GroupKind()]
	k.mutex.Unlock()
	if known {
		return scope
	}
	if mapping, err := k.mapping(gvk); err == nil {
		return mapping.Scope.Name() == meta.RESTScopeNameNamespace
	}
	return true
}

func (k *kubernetes) mapping(gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	if k.unreachable != "" {
		return nil, errors.New(k.unreachable)
	}
	return k.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
}

func gvkOf(o object) schema.GroupVersionKind {
	return schema.FromAPIVersionAndKind(text(o, "apiVersion"), text(o, "kind"))
}

// isPatch tells a ConfigMapPatch from a ConfigMap: the object's kind is the same.
func isPatch(urn string, inputs object) bool {
	token, _ := splitURN(urn)
	return strings.HasSuffix(token, ":"+text(inputs, "kind")+"Patch")
}

func isRelease(urn string) bool {
	token, _ := splitURN(urn)
	return token == "kubernetes:helm.sh/v3:Release"
}

func (k *kubernetes) Check(_ context.Context, r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	if k.unreachable != "" && k.option("skipUpdateUnreachable", "PULUMI_K8S_SKIP_UPDATE_UNREACHABLE") {
		k.engine.log(r.Urn, pulumirpc.LogSeverity_WARNING, false, "Cluster is unreachable but skipUpdateUnreachable flag is set to true, skipping...")
		return &pulumirpc.CheckResponse{Inputs: r.Olds}, nil
	}
	if isRelease(r.Urn) {
		return k.checkRelease(r)
	}
	news := fromStruct(r.News)
	olds, inputs := revealObject(fromStruct(r.Olds)), normalize(revealObject(news))
	_, name := splitURN(r.Urn)
	if notStoodIn[kindKey(inputs)] && !skipsAwait(inputs) {
		return nil, fmt.Errorf("the stand-in of the kubernetes provider does not wait for objects of kind %s: annotate %s", kindKey(inputs), skipAwait)
	}
	if at(inputs, "metadata", "generateName") != nil {
		return nil, errors.New("the `.metadata.generateName` field is not supported in Server-Side Apply mode")
	}
	switch given := at(inputs, "metadata", "name"); {
	case given != nil && given != "":
	case isPatch(r.Urn, inputs):
		return nil, errors.New("patch resources require the `.metadata.name` field to be set")
	case len(olds) > 0:
		if text(olds, "metadata", "annotations", autonamed) == "true" {
			set(inputs, text(olds, "metadata", "name"), "metadata", "name")
			set(inputs, "true", "metadata", "annotations", autonamed)
		}
	default:
		made := uniqueName(r.RandomSeed, name+"-")
		if r.Autonaming != nil {
			if r.Autonaming.Mode == pulumirpc.CheckRequest_AutonamingOptions_DISABLE {
				return nil, errors.New("autonaming is disabled, resource requires the .metadata.name field to be set")
			}
			made = r.Autonaming.ProposedName
		}
		set(inputs, made, "metadata", "name")
		set(inputs, "true", "metadata", "annotations", autonamed)
	}
	if k.namespace != "" && at(inputs, "metadata", "namespace") == nil && k.namespaced(gvkOf(inputs)) {
		set(inputs, k.namespace, "metadata", "namespace")
	}
	annotateSecrets(inputs, news)
	return &pulumirpc.CheckResponse{Inputs: toStruct(inputs)}, nil
}

// annotateSecrets marks in outs what is secret in ins; of a Secret always the data, whatever the program said.
func annotateSecrets(outs, ins object) {
	if outs["kind"] == "Secret" {
		for _, key := range []string{"data", "stringData"} {
			if value, given := outs[key]; given {
				outs[key] = secret{value}
			}
		}
		return
	}
	for key, in := range ins {
		out, given := outs[key]
		if !given {
			continue
		}
		if inner, ok := in.(object); ok {
			if outInner, ok := out.(object); ok {
				annotateSecrets(outInner, inner)
				continue
			}
		}
		if _, already := out.(secret); !already && hasSecret(in) {
			outs[key] = secret{out}
		}
	}
}

func seconds(s string) time.Duration {
	n, _ := strconv.ParseFloat(s, 64)
	return time.Duration(n * float64(time.Second))
}

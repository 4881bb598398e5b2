// The kubernetes plugin: configuration, and naming and checking of inputs. Cluster access is in objects.go, comparison in
// diff.go, waiting in await.go, Helm releases in release.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
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
	"k8s.io/client-go/util/homedir"
)

const (
	autonamed = "pulumi.com/autonamed"
	skipAwait = "pulumi.com/skipAwait"
	waitFor   = "pulumi.com/waitFor"
)

type kubernetes struct {
	pulumirpc.UnimplementedResourceProviderServer
	engine  *engine
	version string
	context context.Context // ends with Cancel
	cancel  context.CancelFunc

	settings    map[string]string // provider inputs by short name; everything is a string
	unreachable error             // why the cluster cannot be used; nil if it can
	namespace   string            // the kubeconfig's, for objects without one

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
	"clusterIdentifier", "context", "enableConfigMapMutable", "enablePatchForce", "enableSecretMutable", "kubeconfig", "pluginDownloadURL", "version",
}

func (k *kubernetes) CheckConfig(_ context.Context, r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	response := &pulumirpc.CheckResponse{Inputs: r.News}
	for _, key := range sortedKeys(r.News.GetFields()) {
		if !slices.Contains(providerSettings, key) {
			response.Failures = append(response.Failures, refusal(key))
		}
	}
	return response, nil
}

func refusal(property string) *pulumirpc.CheckFailure {
	return &pulumirpc.CheckFailure{Property: property, Reason: "the stand-in of the kubernetes provider does not do " + property}
}

// DiffConfig replaces the provider, and with it every object, if the program says that it is another cluster.
func (k *kubernetes) DiffConfig(_ context.Context, r *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	olds, news := revealed(r.Olds), revealed(r.News)
	response := &pulumirpc.DiffResponse{Changes: pulumirpc.DiffResponse_DIFF_NONE}
	for _, key := range sortedKeys(merged(olds, news)) {
		if !reflect.DeepEqual(olds[key], news[key]) {
			response.Changes, response.Diffs = pulumirpc.DiffResponse_DIFF_SOME, append(response.Diffs, key)
		}
	}
	// Both are parsed whenever anything differs, so the path of a missing file is an error.
	for _, inputs := range []object{olds, news} {
		if given := text(inputs, "kubeconfig"); given != "" && len(response.Diffs) > 0 {
			if _, err := loadKubeconfig(given); err != nil {
				return nil, fmt.Errorf("failed to parse kubeconfig: %w", err)
			}
		}
	}
	before, after := text(olds, "clusterIdentifier"), text(news, "clusterIdentifier")
	switch {
	case before != "" && after != "":
		if before != after {
			response.Replaces = []string{"clusterIdentifier"}
		}
	case slices.Contains(response.Diffs, "kubeconfig"), slices.Contains(response.Diffs, "context"):
		return nil, errors.New("the stand-in of the kubernetes provider cannot tell whether another kubeconfig is another cluster: set clusterIdentifier")
	}
	return response, nil
}

// loadKubeconfig takes a path, which may begin with ~/, or the contents themselves.
func loadKubeconfig(pathOrContents string) (*clientcmdapi.Config, error) {
	if inHome, ok := strings.CutPrefix(pathOrContents, "~/"); ok {
		pathOrContents = filepath.Join(homedir.HomeDir(), inHome)
	}
	if _, err := os.Stat(pathOrContents); err == nil {
		return clientcmd.LoadFromFile(pathOrContents)
	}
	return clientcmd.Load([]byte(pathOrContents))
}

func (k *kubernetes) Configure(_ context.Context, r *pulumirpc.ConfigureRequest) (*pulumirpc.ConfigureResponse, error) {
	k.settings = map[string]string{}
	for key, value := range r.Variables {
		k.settings[strings.TrimPrefix(key, "kubernetes:config:")] = value
	}
	overrides := &clientcmd.ConfigOverrides{CurrentContext: k.settings["context"]}
	k.loader = clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), overrides)
	if given := k.settings["kubeconfig"]; given != "" {
		config, err := loadKubeconfig(given)
		if err != nil {
			return nil, fmt.Errorf("failed to parse kubeconfig data in `kubernetes:config:kubeconfig`- %w", err)
		}
		k.loader = clientcmd.NewDefaultClientConfig(*config, overrides)
	}
	if namespace, _, err := k.loader.Namespace(); err == nil {
		k.namespace = namespace
	}
	if err := k.connect(); err != nil {
		return nil, err
	}
	return &pulumirpc.ConfigureResponse{AcceptSecrets: true, SupportsPreview: true, SupportsAutonamingConfiguration: true}, nil
}

// connect creates the clients. A cluster that does not answer is not an error here: previews work without it.
func (k *kubernetes) connect() error {
	config, err := k.loader.ClientConfig()
	if err != nil {
		k.unreachable = fmt.Errorf("unable to load Kubernetes client configuration from kubeconfig file. Make sure you have: \n\n"+
			" \t • set up the provider as per https://www.pulumi.com/registry/packages/kubernetes/installation-configuration/ \n\n %w", err)
		return nil
	}
	config.Burst, config.QPS = 120, 50
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
		// The real provider loads the schema here; asking for it again yields the same error.
		err = client.RESTClient().Get().AbsPath("/openapi/v2").Timeout(32 * time.Second).Do(k.context).Error()
		k.unreachable = fmt.Errorf("unable to load schema information from the API server: %w", err)
	}
	return nil
}

// clusterWide are the built-in kinds that the program uses and that have no namespace.
var clusterWide = []string{"ClusterRole", "ClusterRoleBinding", "Namespace"}

// namespaced tells whether a kind's objects live in namespaces. A kind not known yet counts as namespaced, as with the real provider.
func (k *kubernetes) namespaced(gvk schema.GroupVersionKind) bool {
	if builtin(gvk) && slices.Contains(clusterWide, gvk.Kind) {
		return false
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
	if k.unreachable != nil {
		return nil, k.unreachable
	}
	return k.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
}

func gvkOf(o object) schema.GroupVersionKind {
	return schema.FromAPIVersionAndKind(text(o, "apiVersion"), text(o, "kind"))
}

func isRelease(urn string) bool {
	token, _ := splitURN(urn)
	return token == "kubernetes:helm.sh/v3:Release"
}

func (k *kubernetes) Check(_ context.Context, r *pulumirpc.CheckRequest) (*pulumirpc.CheckResponse, error) {
	if isRelease(r.Urn) {
		return k.checkRelease(r)
	}
	olds, inputs := revealed(r.Olds), normalize(revealed(r.News))
	token, name := splitURN(r.Urn)
	if strings.HasSuffix(token, "Patch") {
		return nil, fmt.Errorf("the stand-in of the kubernetes provider has no resource type %q", token)
	}
	if notStoodIn[kindKey(inputs)] && !skipsAwait(inputs) {
		return nil, fmt.Errorf("the stand-in of the kubernetes provider does not wait for objects of kind %s: annotate %s", kindKey(inputs), skipAwait)
	}
	switch given := at(inputs, "metadata", "name"); {
	case given != nil && given != "":
	case len(olds) > 0:
		if text(olds, "metadata", "annotations", autonamed) == "true" {
			set(inputs, text(olds, "metadata", "name"), "metadata", "name")
			set(inputs, "true", "metadata", "annotations", autonamed)
		}
	default:
		if r.Autonaming != nil {
			return nil, errors.New("the stand-in of the kubernetes provider has one way to name objects: remove pulumi:autonaming from the configuration")
		}
		set(inputs, uniqueName(r.RandomSeed, name+"-"), "metadata", "name")
		set(inputs, "true", "metadata", "annotations", autonamed)
	}
	if k.namespace != "" && at(inputs, "metadata", "namespace") == nil && k.namespaced(gvkOf(inputs)) {
		set(inputs, k.namespace, "metadata", "namespace")
	}
	annotateSecrets(inputs, fromStruct(r.News))
	return &pulumirpc.CheckResponse{Inputs: toStruct(inputs)}, nil
}

// annotateSecrets marks in outs what is secret in ins, and always a Secret's data, whatever the program said.
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
		if _, already := out.(secret); !already && has[secret](in) {
			outs[key] = secret{out}
		}
	}
}

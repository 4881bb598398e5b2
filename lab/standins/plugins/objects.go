// Creating, reading, updating and deleting Kubernetes objects.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/csaupgrade"
	"sigs.k8s.io/yaml"
)

// createManager is the field manager of plain creates; the first update hands its fields to the resource's own manager.
const createManager = "pulumi-kubernetes"

const defaultTimeout = 10 * time.Minute

const deleteHint = "PULUMI_K8S_DELETE_UNREACHABLE environment variable set to \"true\""

func deletesUnreachable() bool { return os.Getenv("PULUMI_K8S_DELETE_UNREACHABLE") == "true" }

// partial is an error after which the object exists nonetheless: its state is kept, with the reasons.
type partial struct {
	error
	reasons []string
	live    object
}

func (p *partial) Unwrap() error { return p.error }

// initFailed reports a partial failure in the form that the engine understands.
func initFailed(id string, err error, properties, inputs *structpb.Struct) error {
	reasons := []string{err.Error()}
	var p *partial
	if errors.As(err, &p) {
		reasons = append(reasons, p.reasons...)
	}
	s, _ := grpcstatus.New(codes.Unknown, err.Error()).WithDetails(
		&pulumirpc.ErrorResourceInitFailed{Id: id, Properties: properties, Reasons: reasons, Inputs: inputs})
	return s.Err()
}

// state is what the engine stores: the live object, the inputs that made it, and how to update it.
func state(live, inputs, marks object, apiVersion, manager string) *structpb.Struct {
	out, inputs := copyOf(live), copyOf(inputs)
	annotateSecrets(out, marks)
	annotateSecrets(inputs, marks)
	out["__inputs"], out["__initialApiVersion"], out["__fieldManager"] = inputs, apiVersion, manager
	return toStruct(out)
}

// manager is the field manager for server-side apply: the state's, or a new one.
func manager(state object) string {
	return cmp.Or(text(state, "__fieldManager"), uniqueName(nil, createManager+"-"))
}

func objectID(o object) string {
	if namespace := text(o, "metadata", "namespace"); namespace != "" {
		return namespace + "/" + text(o, "metadata", "name")
	}
	return text(o, "metadata", "name")
}

// client accesses the objects of o's kind and namespace.
func (k *kubernetes) client(o object) (dynamic.ResourceInterface, error) {
	mapping, err := k.mapping(gvkOf(o))
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return k.dynamic.Resource(mapping.Resource), nil
	}
	return k.dynamic.Resource(mapping.Resource).Namespace(cmp.Or(text(o, "metadata", "namespace"), "default")), nil
}

func (k *kubernetes) exists(o object) bool {
	_, err := k.mapping(gvkOf(o))
	return err == nil
}

func dryRun(preview bool) []string {
	if preview {
		return []string{metav1.DryRunAll}
	}
	return nil
}

func timeout(requested float64) time.Duration {
	if requested > 0 {
		return time.Duration(requested * float64(time.Second))
	}
	return defaultTimeout
}

func (k *kubernetes) reachable() error {
	if k.unreachable != nil {
		return fmt.Errorf("configured Kubernetes cluster is unreachable: %w", k.unreachable)
	}
	return nil
}

func (k *kubernetes) Create(_ context.Context, r *pulumirpc.CreateRequest) (*pulumirpc.CreateResponse, error) {
	if isRelease(r.Urn) {
		return k.createRelease(r)
	}
	if err := k.reachable(); err != nil && !r.Preview {
		return nil, err
	}
	marked := fromStruct(r.Properties)
	inputs := revealed(r.Properties)
	echo := &pulumirpc.CreateResponse{Properties: r.Properties}
	if r.Preview && (has[unknown](inputs) || !k.exists(inputs)) {
		return echo, nil
	}
	owner := manager(nil)
	status := k.engine.status(r.Urn)
	live, err := k.put(inputs, r.Preview, status)
	if err == nil && !r.Preview {
		status.clear()
		live, err = k.await(inputs, live, timeout(r.Timeout), status)
	}
	var failed *partial
	switch {
	case err == nil || errors.As(err, &failed):
	case r.Preview && (apierrors.IsForbidden(err) || apierrors.IsAlreadyExists(err) || namespaceMissing(err)):
		return echo, nil
	case meta.IsNoMatchError(err):
		gvk := gvkOf(inputs)
		return nil, fmt.Errorf("creation of resource %q with kind %s failed because the Kubernetes API server reported that the apiVersion for this "+
			"resource does not exist. Verify that any required CRDs have been created: %w", r.Urn, gvk.GroupVersion().String()+"/"+gvk.Kind, err)
	default:
		return nil, fmt.Errorf("resource %q was not successfully created by the Kubernetes API server: %w", r.Urn, err)
	}
	if r.Preview {
		delete(live, "status") // empty in a dry run, which a program that reads it would take as known
		return &pulumirpc.CreateResponse{Properties: state(live, inputs, marked, text(inputs, "apiVersion"), owner)}, nil
	}
	if failed != nil && failed.live != nil {
		live = failed.live
	}
	properties := state(live, inputs, marked, text(inputs, "apiVersion"), owner)
	if failed != nil {
		return nil, initFailed(objectID(live), fmt.Errorf("resource %q was successfully created, but the Kubernetes API server reported that it "+
			"failed to fully initialize or become live: %w", r.Urn, err), properties, nil)
	}
	return &pulumirpc.CreateResponse{Id: objectID(live), Properties: properties}, nil
}

func namespaceMissing(err error) bool {
	var s *apierrors.StatusError
	return errors.As(err, &s) && apierrors.IsNotFound(err) && s.Status().Details != nil && s.Status().Details.Kind == "namespaces"
}

// put creates the object. It waits up to 63 seconds for a missing namespace or kind.
func (k *kubernetes) put(inputs object, preview bool, status *status) (object, error) {
	for try, pause := 0, time.Second; ; try, pause = try+1, 2*pause {
		client, err := k.client(inputs)
		if err == nil {
			var live *unstructured.Unstructured
			options := metav1.CreateOptions{FieldManager: createManager, DryRun: dryRun(preview)}
			if live, err = client.Create(k.context, &unstructured.Unstructured{Object: inputs}, options); err == nil {
				return live.Object, nil
			}
		}
		if apierrors.IsAlreadyExists(err) {
			return nil, fmt.Errorf("%w\n\nThe resource already exists in the cluster. This can happen when:\n\n"+
				"  - Renaming a Pulumi resource: use an alias to preserve the identity,\n    or use deleteBeforeReplace if the resource needs replacement.\n"+
				"  - Managing an existing resource: use a Patch resource (e.g. NamespacePatch)\n    to manage specific fields without owning the resource lifecycle.\n"+
				"  - Adopting a resource into Pulumi: use `pulumi import`. Note that\n    protected resources (e.g. kube-system) cannot be deleted on destroy.\n"+
				"  - Intentional upsert: set upsertExistingObjects on the provider to allow\n    server-side apply to update existing objects on create.", err)
		}
		if preview && namespaceMissing(err) || try == 6 || !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err) {
			return nil, err
		}
		status.info(fmt.Sprintf("Retry #%d; creation failed: %v", try, err))
		select {
		case <-k.context.Done():
			return nil, err
		case <-time.After(pause):
		}
		if meta.IsNoMatchError(err) {
			k.mapper.Reset() // a chart may have brought the kind meanwhile
		}
	}
}

// apply is server-side apply; conflicts are explained as by the real provider.
func (k *kubernetes) apply(client dynamic.ResourceInterface, name string, inputs object, owner string, force, preview bool) (*unstructured.Unstructured, error) {
	body, err := yaml.Marshal(inputs)
	if err != nil {
		return nil, err
	}
	live, err := client.Patch(k.context, name, types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: owner, Force: &force, DryRun: dryRun(preview)})
	if apierrors.IsConflict(err) {
		err = errors.Join(errors.New("server-side apply field conflict detected, see https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/"+
			"managing-resources-with-server-side-apply/#handle-field-conflicts-on-existing-resources for troubleshooting help"),
			fmt.Errorf("The resource managed by field manager %q had an apply conflict: %w", owner, err))
	}
	return live, err
}

func (k *kubernetes) Update(_ context.Context, r *pulumirpc.UpdateRequest) (*pulumirpc.UpdateResponse, error) {
	if isRelease(r.Urn) {
		return k.updateRelease(r)
	}
	if err := k.reachable(); err != nil && !r.Preview {
		return nil, err
	}
	marked := fromStruct(r.News)
	inputs := normalize(revealed(r.News))
	if r.Preview && (has[unknown](inputs) || !k.exists(inputs)) {
		return &pulumirpc.UpdateResponse{Properties: r.News}, nil
	}
	stored := revealed(r.Olds)
	oldLive, _ := splitState(stored)
	owner := manager(stored)
	apiVersion := text(stored, "__initialApiVersion")
	live, err := k.change(r, inputs, oldLive, owner)
	switch {
	case err == nil:
	case r.Preview && apierrors.IsForbidden(err):
		return &pulumirpc.UpdateResponse{Properties: r.News}, nil
	case meta.IsNoMatchError(err):
		return nil, fmt.Errorf("update of resource %q failed because the Kubernetes API server reported that the apiVersion for this resource does not "+
			"exist. Verify that any required CRDs have been created: %w", r.Urn, err)
	default:
		// Whatever went wrong, the object exists: keep its current state.
		current, getErr := k.get(oldLive, text(oldLive, "metadata", "name"))
		if getErr != nil {
			return nil, errors.Join(fmt.Errorf("update of resource %q failed: %w", r.Urn, err), fmt.Errorf("unable to get cluster state: %w", getErr))
		}
		return nil, initFailed(objectID(current), fmt.Errorf("the Kubernetes API server reported that %q failed to fully initialize or become live: %w",
			objectID(current), err), state(current, inputs, marked, apiVersion, owner), nil)
	}
	return &pulumirpc.UpdateResponse{Properties: state(live, inputs, marked, apiVersion, owner)}, nil
}

func (k *kubernetes) change(r *pulumirpc.UpdateRequest, inputs, oldLive object, owner string) (object, error) {
	client, err := k.client(inputs)
	if err != nil {
		return nil, err
	}
	name := text(oldLive, "metadata", "name")
	before, err := client.Get(k.context, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	force := k.settings["enablePatchForce"] == "true" || os.Getenv("PULUMI_K8S_ENABLE_PATCH_FORCE") == "true" || len(before.GetManagedFields()) == 0
	if r.Preview {
		for _, entry := range before.GetManagedFields() {
			force = force || entry.Manager == createManager && entry.Operation == metav1.ManagedFieldsOperationUpdate
		}
	} else {
		// The fields of the plain create, and those set with kubectl, become the resource's own: those that the program does not
		// ask for are removed. A subresource's fields, such as the replicas of kubectl scale, stay with their manager.
		adopted := sets.Set[string]{}
		for _, entry := range before.GetManagedFields() {
			for _, prefix := range []string{createManager, "pulumi-resource-kubernetes", "kubectl", "before-first-apply"} {
				if entry.Operation == metav1.ManagedFieldsOperationUpdate && strings.HasPrefix(entry.Manager, prefix) {
					adopted.Insert(entry.Manager)
				}
			}
		}
		patch, err := csaupgrade.UpgradeManagedFieldsPatch(before, adopted, owner)
		if err != nil {
			return nil, err
		}
		if len(patch) > 0 {
			if _, err = client.Patch(k.context, name, types.JSONPatchType, patch, metav1.PatchOptions{}); err != nil {
				return nil, err
			}
		}
	}
	after, err := k.apply(client, name, inputs, owner, force, r.Preview)
	if err != nil {
		return nil, err
	}
	if r.Preview {
		return after.Object, nil
	}
	return k.await(inputs, after.Object, timeout(r.Timeout), k.engine.status(r.Urn))
}

func (k *kubernetes) get(o object, name string) (object, error) {
	client, err := k.client(o)
	if err != nil {
		return nil, err
	}
	live, err := client.Get(k.context, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return live.Object, nil
}

func (k *kubernetes) Read(_ context.Context, r *pulumirpc.ReadRequest) (*pulumirpc.ReadResponse, error) {
	if err := k.reachable(); err != nil {
		k.engine.log(r.Urn, pulumirpc.LogSeverity_WARNING, false, err.Error())
		if deletesUnreachable() {
			return &pulumirpc.ReadResponse{}, nil
		}
		return nil, errors.New("failed to read resource state due to unreachable cluster. If the cluster was deleted, you can remove this resource from " +
			"Pulumi state by rerunning the operation with the " + deleteHint)
	}
	if isRelease(r.Urn) {
		return k.readRelease(r)
	}
	stored, marked := revealed(r.Properties), fromStruct(r.Inputs)
	inputs := normalize(revealed(r.Inputs))
	name := r.Id[strings.LastIndex(r.Id, "/")+1:]
	imported := false
	if text(inputs, "kind") == "" {
		inputs["apiVersion"], inputs["kind"] = stored["apiVersion"], stored["kind"]
		if imported = text(stored, "kind") == ""; imported {
			// kubernetes:apps/v1:Deployment, kubernetes:core/v1:ConfigMap
			token, _ := splitURN(r.Urn)
			parts := strings.Split(token, ":")
			inputs["apiVersion"], inputs["kind"] = strings.TrimPrefix(parts[1], "core/"), parts[2]
		}
		set(inputs, name, "metadata", "name")
		if namespace, _, split := strings.Cut(r.Id, "/"); split {
			set(inputs, namespace, "metadata", "namespace")
		}
	}
	apiVersion := cmp.Or(text(stored, "__initialApiVersion"), text(inputs, "apiVersion"))
	owner := manager(stored)
	live, err := k.get(inputs, name)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return &pulumirpc.ReadResponse{}, nil // gone: the engine drops it from the state
	} else if err != nil {
		return nil, err
	}
	liveInputs := prune(live, inputs)
	var notReady error
	if imported {
		liveInputs = copyOf(live)
		delete(liveInputs, "status")
		for _, field := range serverMetadata {
			delete(liveInputs["metadata"].(object), field)
		}
	} else if notReady = k.awaitRead(live, inputs, k.engine.status(r.Urn)); notReady == nil {
		if again, err := k.get(inputs, name); err == nil {
			live, liveInputs = again, prune(again, inputs)
		}
	}
	properties := state(live, liveInputs, marked, apiVersion, owner)
	annotateSecrets(liveInputs, marked)
	if notReady != nil {
		return nil, initFailed(r.Id, notReady, properties, toStruct(liveInputs))
	}
	return &pulumirpc.ReadResponse{Id: r.Id, Properties: properties, Inputs: toStruct(liveInputs)}, nil
}

func (k *kubernetes) Delete(_ context.Context, r *pulumirpc.DeleteRequest) (*emptypb.Empty, error) {
	if isRelease(r.Urn) {
		return k.deleteRelease(r)
	}
	live, inputs := splitState(revealed(r.Properties))
	if err := k.reachable(); err != nil {
		k.engine.log(r.Urn, pulumirpc.LogSeverity_WARNING, false, err.Error())
		if deletesUnreachable() {
			return &emptypb.Empty{}, nil
		}
		return nil, errors.New("configured Kubernetes cluster is unreachable. If the cluster was deleted, you can remove this resource from Pulumi state " +
			"by rerunning the operation with the " + deleteHint)
	}
	client, err := k.client(live)
	if meta.IsNoMatchError(err) {
		return &emptypb.Empty{}, nil // its kind is gone, and with it the object
	} else if err != nil {
		return nil, err
	}
	propagation := metav1.DeletePropagationForeground
	name := r.Id[strings.LastIndex(r.Id, "/")+1:]
	err = client.Delete(k.context, name, metav1.DeleteOptions{PropagationPolicy: &propagation})
	if apierrors.IsNotFound(err) {
		return &emptypb.Empty{}, nil
	} else if err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, k.awaitDeleted(client, name, live, inputs, timeout(r.Timeout), k.engine.status(r.Urn))
}

// Waits until an object is ready or gone, with the messages that the CLI shows meanwhile.
package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

const revision = "deployment.kubernetes.io/revision"

// The endpoints of a Service must stay unchanged for this long before it counts as settled.
const settleTime = 10 * time.Second

// Kinds for which the real provider has waiting logic that the stand-in lacks: Check refuses them.
var notStoodIn = map[string]bool{
	"apps/v1/DaemonSet": true, "batch/v1/Job": true, "networking.k8s.io/v1/Ingress": true, "apiextensions.k8s.io/v1/CustomResourceDefinition": true,
	"v1/PersistentVolume": true, "v1/PersistentVolumeClaim": true, "v1/Pod": true, "v1/ReplicationController": true, "v1/ResourceQuota": true,
}

func kindKey(o object) string { return text(o, "apiVersion") + "/" + text(o, "kind") }

func skipsAwait(inputs object) bool {
	return text(inputs, "metadata", "annotations", skipAwait) == "true"
}

// readiness is the verdict on one look at an object.
type readiness struct {
	done    bool
	reasons []string // why not, for the error
}

// look judges the newest state of the awaited object.
type look func(live object) readiness

// await blocks until the object is ready and returns its newest state.
func (k *kubernetes) await(inputs, live object, limit time.Duration, s *status) (object, error) {
	if skipsAwait(inputs) {
		return live, nil
	}
	judge := k.lookFor(live, s, false)
	custom := text(live, "metadata", "annotations", waitFor)
	if custom != "" {
		condition, ok := strings.CutPrefix(custom, "condition=")
		if !ok {
			return nil, &partial{live: live, error: fmt.Errorf("the stand-in of the kubernetes provider waits for condition=, not for %q", custom)}
		}
		judge = func(live object) readiness { return readiness{done: hasCondition(live, condition, s)} }
	}
	if judge == nil {
		s.clear()
		return live, nil
	}
	ctx, cancel := context.WithTimeout(k.context, limit)
	defer cancel()
	go k.relayEvents(ctx, live, s)
	client, err := k.client(live)
	if err != nil {
		return nil, err
	}
	name := text(live, "metadata", "name")
	last := readiness{}
	err = follow(ctx, client, name, func(current object) bool {
		if current == nil || count(current, "metadata", "generation") < count(live, "metadata", "generation") {
			return false
		}
		live = current
		last = judge(live)
		return last.done
	})
	if err == nil {
		s.clear()
		return live, nil
	}
	failure := &partial{reasons: last.reasons, live: live, error: fmt.Errorf("'%s' timed out waiting to be Ready", name)}
	switch {
	case custom != "":
		failure.error = interrupted(err)
	case !errors.Is(err, context.DeadlineExceeded):
		failure.error = fmt.Errorf("Resource operation was cancelled for %q", name)
	}
	return nil, failure
}

func interrupted(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return wait.ErrorInterrupted(err)
}

// awaitRead judges an object once, for a refresh.
func (k *kubernetes) awaitRead(live, inputs object, s *status) error {
	judge := k.lookFor(live, s, true)
	if judge == nil || skipsAwait(inputs) {
		return nil
	}
	if verdict := judge(live); !verdict.done {
		return &partial{error: fmt.Errorf("Resource '%s' was created but failed to initialize", text(live, "metadata", "name")), reasons: verdict.reasons, live: live}
	}
	s.clear()
	return nil
}

// lookFor returns how to judge objects of this kind; nil if they are ready once they exist.
func (k *kubernetes) lookFor(live object, s *status, once bool) look {
	switch kindKey(live) {
	case "apps/v1/Deployment":
		return k.deploymentLook(s)
	case "apps/v1/StatefulSet":
		return k.statefulSetLook(s)
	case "v1/Service":
		return k.serviceLook(s, once)
	}
	return nil
}

// follow calls visit with the newest state of an object (nil: gone) after each change and twice a second, until it is satisfied.
func follow(ctx context.Context, client dynamic.ResourceInterface, name string, visit func(object) bool) error {
	var watcher watch.Interface
	var changes <-chan watch.Event
	for {
		if watcher == nil {
			if w, err := client.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name}); err == nil {
				watcher, changes = w, w.ResultChan()
				defer w.Stop()
			}
		}
		live, err := client.Get(ctx, name, metav1.GetOptions{})
		switch {
		case err == nil && visit(live.Object), apierrors.IsNotFound(err) && visit(nil):
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, open := <-changes:
			if !open {
				watcher, changes = nil, nil
			}
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// relayEvents shows the Kubernetes events about an object while it is awaited.
func (k *kubernetes) relayEvents(ctx context.Context, live object, s *status) {
	namespace := text(live, "metadata", "namespace")
	if namespace == "" {
		return
	}
	w, err := k.resource("", "events", namespace).Watch(ctx, metav1.ListOptions{FieldSelector: "involvedObject.uid=" + text(live, "metadata", "uid")})
	if err != nil {
		return
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		if e, ok := event.Object.(*unstructured.Unstructured); ok && event.Type != watch.Deleted {
			severity := pulumirpc.LogSeverity_DEBUG
			if text(e.Object, "type") == "Warning" {
				severity = pulumirpc.LogSeverity_WARNING
			}
			s.say(severity, text(e.Object, "reason")+": "+text(e.Object, "message"))
		}
	}
}

func (k *kubernetes) resource(group, plural, namespace string) dynamic.ResourceInterface {
	return k.dynamic.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: plural}).Namespace(namespace)
}

// owned lists the objects in a namespace that the owner controls.
func (k *kubernetes) owned(group, plural, namespace string, owner object) []object {
	var out []object
	list, err := k.resource(group, plural, namespace).List(k.context, metav1.ListOptions{})
	if err != nil {
		return nil
	}
	for _, item := range list.Items {
		for _, reference := range item.GetOwnerReferences() {
			if string(reference.UID) == text(owner, "metadata", "uid") {
				out = append(out, item.Object)
			}
		}
	}
	return out
}

// count reads an integer at a path, 0 if there is none.
func count(o object, path ...string) int64 {
	n, _ := at(o, path...).(int64)
	return n
}

func conditions(o object) []object {
	var out []object
	for _, c := range list(o, "status", "conditions") {
		if c, ok := c.(object); ok {
			out = append(out, c)
		}
	}
	return out
}

func (k *kubernetes) deploymentLook(s *status) look {
	nextPodErrors := time.Now().Add(10 * time.Second)
	return func(live object) readiness {
		var available, progressed bool
		var reasons []string
		current := text(live, "metadata", "annotations", revision)
		if current != "" && count(live, "status", "observedGeneration") == count(live, "metadata", "generation") {
			for _, c := range conditions(live) {
				isTrue := c["status"] == "True"
				switch c["type"] {
				case "Available":
					available = isTrue
				case "Progressing":
					progressed = isTrue && c["reason"] == "NewReplicaSetAvailable"
				default:
					continue
				}
				if !isTrue {
					message := fmt.Sprintf("[%s] %s", text(c, "reason"), text(c, "message"))
					reasons = append(reasons, message)
					s.warning(message)
				}
			}
		}
		namespace := text(live, "metadata", "namespace")
		var replicaSet object
		rolledOut := false
		for _, rs := range k.owned("apps", "replicasets", namespace, live) {
			if current == "" || text(rs, "metadata", "annotations", revision) != current {
				continue
			}
			replicaSet = rs
			ready, wanted := count(rs, "status", "readyReplicas"), count(rs, "spec", "replicas")
			if rolledOut = ready >= wanted; !rolledOut {
				s.info(fmt.Sprintf("Waiting for app ReplicaSet to be available (%d/%d Pods available)", ready, wanted))
			}
		}
		if available && rolledOut && (progressed || current == "1") {
			s.info("Deployment initialization complete")
			return readiness{done: true}
		}
		switch {
		case !available:
			reasons = append(reasons, "Minimum number of live Pods was not attained")
		case current == "1" || !progressed:
			reasons = append(reasons, "Minimum number of Pods to consider the application live was not attained")
		default:
			reasons = append(reasons, "Attempted to roll forward to new ReplicaSet, but minimum number of Pods did not become live")
		}
		if replicaSet != nil {
			reasons = append(reasons, k.podErrors(namespace, replicaSet, s, &nextPodErrors)...)
		}
		return readiness{reasons: reasons}
	}
}

func (k *kubernetes) statefulSetLook(s *status) look {
	nextPodErrors := time.Now().Add(10 * time.Second)
	return func(live object) readiness {
		wanted, ready := count(live, "spec", "replicas"), count(live, "status", "readyReplicas")
		now, target := text(live, "status", "currentRevision"), text(live, "status", "updateRevision")
		var replicas, revisions bool
		if count(live, "status", "observedGeneration") >= count(live, "metadata", "generation") {
			replicas = wanted == ready && wanted == count(live, "status", "replicas") && wanted == count(live, "status", "currentReplicas")
			if revisions = now != "" && now == target; !revisions {
				ready = min(ready, count(live, "status", "updatedReplicas")) // the ready ones may be from the old revision
			}
		}
		if replicas && revisions {
			s.info("StatefulSet initialization complete")
			return readiness{done: true}
		}
		s.info(fmt.Sprintf("Waiting for the StatefulSet's Pods (%d/%d Pods ready)", ready, wanted))
		var reasons []string
		if !replicas {
			reasons = append(reasons, fmt.Sprintf("%v out of %v replicas succeeded readiness checks", ready, wanted))
		}
		if !revisions {
			reasons = append(reasons, fmt.Sprintf("StatefulSet controller failed to advance from revision %q to revision %q", now, target))
		}
		return readiness{reasons: append(reasons, k.podErrors(text(live, "metadata", "namespace"), live, s, &nextPodErrors)...)}
	}
}

func (k *kubernetes) serviceLook(s *status, once bool) look {
	var version string
	var changed time.Time
	if !once {
		s.info("[1/3] Finding Pods to direct traffic to")
	}
	return func(live object) readiness {
		kind := text(live, "spec", "type")
		ready := kind != "LoadBalancer" || len(list(live, "status", "loadBalancer", "ingress")) > 0
		selector, _ := at(live, "spec", "selector").(object)
		if kind == "ExternalName" || text(live, "spec", "clusterIP") == "None" || len(selector) == 0 {
			return readiness{done: ready}
		}
		var targets, pending, settled bool
		endpoints, err := k.resource("", "endpoints", text(live, "metadata", "namespace")).Get(k.context, text(live, "metadata", "name"), metav1.GetOptions{})
		if err == nil {
			if endpoints.GetResourceVersion() != version {
				version, changed = endpoints.GetResourceVersion(), time.Now()
			}
			settled = once || time.Since(changed) >= settleTime
			for _, subset := range list(endpoints.Object, "subsets") {
				targets = targets || len(list(subset, "addresses")) > 0
				pending = pending || len(list(subset, "notReadyAddresses")) > 0
			}
		}
		if ready && settled && !pending {
			s.info("Service initialization complete")
			return readiness{done: true}
		}
		var reasons []string
		if !targets {
			reasons = append(reasons, "Service does not target any Pods. Selected Pods may not be ready, or field '.spec.selector' may not match labels on any Pods")
		}
		if !ready {
			reasons = append(reasons, "Service was not allocated an IP address; does your cloud provider support this?")
		}
		return readiness{reasons: reasons}
	}
}

// podErrors says why each unready pod is not ready; every ten seconds it also tells the CLI.
func (k *kubernetes) podErrors(namespace string, owner object, s *status, next *time.Time) []string {
	var out []string
	for _, pod := range k.owned("", "pods", namespace, owner) {
		if text(pod, "status", "phase") == "Succeeded" {
			continue
		}
		isTrue := map[string]bool{}
		message := map[string]string{}
		for _, c := range conditions(pod) {
			isTrue[text(c, "type")], message[text(c, "type")] = c["status"] == "True", text(c, "message")
		}
		if !isTrue["PodScheduled"] {
			continue
		}
		for _, kind := range []string{"Initialized", "Ready"} {
			if isTrue[kind] {
				continue
			}
			name := text(pod, "metadata", "name")
			if namespace != "" && namespace != "default" {
				name = namespace + "/" + name
			}
			if details := message[kind] + containerErrors(pod); details != "" {
				out = append(out, fmt.Sprintf("[Pod %s]: %s", name, details))
			}
			break
		}
	}
	if time.Now().After(*next) {
		for _, message := range out {
			s.warning(message)
		}
		*next = time.Now().Add(10 * time.Second)
	}
	return out
}

func containerErrors(pod object) string {
	var out []string
	for _, c := range list(pod, "status", "containerStatuses") {
		if at(c, "ready") == true {
			continue
		}
		if reason := text(c, "state", "waiting", "reason"); reason != "" && reason != "ContainerCreating" {
			out = append(out, fmt.Sprintf("[%s] %s", reason, text(c, "state", "waiting", "message")))
		}
		if reason := text(c, "state", "terminated", "reason"); reason != "" {
			if message := text(c, "state", "terminated", "message"); message != "" {
				out = append(out, fmt.Sprintf("[%s] %s", reason, message))
			} else {
				out = append(out, fmt.Sprintf("container %q completed with exit code %v", text(c, "name"), at(c, "state", "terminated", "exitCode")))
			}
		}
		if last, ok := at(c, "lastState", "terminated").(object); ok {
			out = append(out, fmt.Sprintf("container %q terminated at %s (%s: exit code %v)", text(c, "name"), text(last, "finishedAt"), text(last, "reason"), last["exitCode"]))
			if message := text(last, "message"); message != "" {
				out = append(out, message)
			}
		}
	}
	return strings.Join(out, "\n")
}

// hasCondition tells whether the object has the condition, for its newest generation if its controller reports one.
func hasCondition(live object, kind string, s *status) bool {
	for _, c := range conditions(live) {
		if !strings.EqualFold(text(c, "type"), kind) {
			continue
		}
		if observed, given := c["observedGeneration"].(int64); given && observed < count(live, "metadata", "generation") {
			return false
		}
		if c["status"] != "True" {
			s.info(fmt.Sprintf("Resource has condition %s=%s (want True)", kind, text(c, "status")))
		}
		return c["status"] == "True"
	}
	return false
}

// awaitDeleted blocks until the object is gone.
func (k *kubernetes) awaitDeleted(client dynamic.ResourceInterface, name string, live, inputs object, limit time.Duration, s *status) error {
	if skipsAwait(inputs) && slices.Contains([]string{"v1/Namespace", "apps/v1/Deployment", "apps/v1/StatefulSet", "batch/v1/Job"}, kindKey(inputs)) {
		return nil
	}
	ctx, cancel := context.WithTimeout(k.context, limit)
	defer cancel()
	go k.relayEvents(ctx, live, s)
	uid := text(live, "metadata", "uid")
	err := follow(ctx, client, name, func(current object) bool {
		if current == nil || uid != "" && text(current, "metadata", "uid") != uid {
			return true // gone, or replaced by somebody else's object
		}
		live = current
		if text(current, "metadata", "deletionTimestamp") != "" {
			s.info("Resource scheduled for deletion")
		}
		return false
	})
	if err != nil {
		finalizers := (&unstructured.Unstructured{Object: live}).GetFinalizers()
		s.warning(fmt.Sprintf("finalizers might be preventing deletion (%s)", strings.Join(finalizers, ", ")))
		return interrupted(err)
	}
	s.clear()
	return nil
}

// The label that every Kubernetes object of a stack gets, whether its metadata is known or not.

import { deepStrictEqual as same, strictEqual as equal } from "node:assert/strict";

import * as pulumi from "@pulumi/pulumi";

import { labelObjects } from "../../components/stackLabel.ts";

const stack = { "mtls-everywhere/stack": "dev" };

describe("a stack's label", () => {
  let transform: pulumi.ResourceTransform;
  before(async () => {
    const registered = new Promise<pulumi.ResourceTransform>((registerTransform) => {
      const unused = { newResource: () => ({ id: undefined, state: {} }), call: () => ({}) };
      void pulumi.runtime.setMocks({ ...unused, registerTransform }, "mtls-everywhere", "dev", true);
    });
    labelObjects("dev");
    transform = await registered;
  });
  const labelled = async (type: string, props: object) => {
    const result = await transform({ custom: true, type, name: "it", props, opts: {} });
    return result?.props as { readonly metadata: pulumi.Output<object> } | undefined;
  };

  it("is added to plain metadata, which stays plain, so that a preview knows the name even if it knows little else", async () => {
    const metadata = { name: "etcd", namespace: "mtls", annotations: { digest: pulumi.unknown } };
    const props = await labelled("kubernetes:apps/v1:StatefulSet", {
      metadata: { ...metadata, labels: { app: "etcd" } },
      spec: { replicas: 3 },
    });
    same(props, { metadata: { ...metadata, labels: { app: "etcd", ...stack } }, spec: { replicas: 3 } });
    same(await labelled("kubernetes:core/v1:ConfigMap", {}), { metadata: { labels: stack } });
  });

  it("is added to metadata that is an output once that is known", async () => {
    const props = await labelled("kubernetes:core/v1:ConfigMap", { metadata: pulumi.output({ name: "trust" }) });
    same(await new Promise((known) => props?.metadata.apply(known)), { name: "trust", labels: stack });
    const later = await labelled("kubernetes:core/v1:ConfigMap", { metadata: pulumi.unknown });
    equal(pulumi.Output.isInstance(later?.metadata), true);
  });

  it("is not added where there is no metadata", async () => {
    for (const type of ["kubernetes:helm.sh/v3:Release", "random:index/randomPassword:RandomPassword"]) {
      equal(await labelled(type, { name: "it" }), undefined);
    }
  });
});

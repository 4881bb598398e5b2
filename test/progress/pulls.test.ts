// What an update says about images that cannot be pulled.

import { deepStrictEqual as same } from "node:assert/strict";

import { stuckPulls } from "../../progress/pulls.ts";

describe("a pod that waits for an image (case 24)", () => {
  const waiting = (image: string, reason: string, message?: string) => ({
    ...{ name: "it", image, imageID: "", ready: false, restartCount: 0 },
    state: { waiting: { reason, ...(message === undefined ? {} : { message }) } },
  });
  const metadata = { namespace: "shop", name: "shop-0" };
  const rest =
    "The update keeps waiting until it times out. Press Ctrl-C to end it, then correct the image's name, or let the nodes pull it.";

  it("in vain is named with the kubelet's reason, whichever container waits", () => {
    const pod = {
      metadata,
      status: {
        initContainerStatuses: [waiting("node:24", "InvalidImageName")],
        containerStatuses: [waiting("nginx:0", "ErrImagePull", "not found"), waiting("nginx:1", "ImagePullBackOff")],
      },
    };
    same(stuckPulls(pod), [
      {
        image: "node:24",
        words: `Pod shop/shop-0 cannot start: image node:24 cannot be pulled (InvalidImageName). ${rest}`,
      },
      {
        image: "nginx:0",
        words: `Pod shop/shop-0 cannot start: image nginx:0 cannot be pulled (ErrImagePull: not found). ${rest}`,
      },
      {
        image: "nginx:1",
        words: `Pod shop/shop-0 cannot start: image nginx:1 cannot be pulled (ImagePullBackOff). ${rest}`,
      },
    ]);
  });

  it("is not named while it is being created, or runs", () => {
    same(stuckPulls({ metadata, status: { containerStatuses: [waiting("nginx:1", "ContainerCreating")] } }), []);
    same(stuckPulls({ metadata }), []);
  });
});

// The name by which states of release 0.1 find the dynamic resources' life cycles: the code that they hold imports it.

export * from "@mtls-everywhere/dynamic-resources";

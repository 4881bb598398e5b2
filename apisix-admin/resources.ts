// The name under which states of release 0.1 find the dynamic resources' life cycles: their serialized code imports it.

export * from "@mtls-everywhere/dynamic-resources";

package main

import (
	_ "github.com/pulumi/pulumi/sdk/v3/proto/go"
	_ "helm.sh/helm/v3/pkg/action"
	_ "k8s.io/client-go/dynamic"
	_ "k8s.io/client-go/restmapper"
)

func main() {}

package main

import (
	_ "go.etcd.io/etcd/client/v3"
	_ "sigs.k8s.io/yaml"
)

func main() {}

//go:build tools

// Package pulumi pins the Pulumi CLI that the lab builds if none is installed.
package pulumi

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"

//go:build tools

// Package lab pins what is built from other modules' commands: the Helm CLI, for the baseline of lab/bench/.
package lab

import _ "helm.sh/helm/v3/cmd/helm"

//go:build tools

// Package approver pins approver-policy: it wants newer Kubernetes libraries than the rest of the lab.
package approver

import _ "github.com/cert-manager/approver-policy/cmd"

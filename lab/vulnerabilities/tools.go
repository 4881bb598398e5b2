//go:build tools

// Package vulnerabilities pins govulncheck and the Go project's database of vulnerabilities, whose module is made anew every few weeks.
package vulnerabilities

import (
	_ "golang.org/x/vuln/cmd/govulncheck"
	_ "golang.org/x/vulndb/report" // pins the module; of it the lab reads the folder data/osv
)

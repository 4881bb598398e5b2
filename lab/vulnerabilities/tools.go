//go:build tools

// Package vulnerabilities pins govulncheck and the Go vulnerability database, whose module gets a new version every few weeks.
package vulnerabilities

import (
	_ "golang.org/x/vuln/cmd/govulncheck"
	_ "golang.org/x/vulndb/report" // pins the module, of which the lab reads the folder data/osv
)

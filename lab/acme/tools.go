//go:build tools

// Package acme pins Pebble, an ACME server for tests.
package acme

import _ "github.com/letsencrypt/pebble/v2/cmd/pebble"

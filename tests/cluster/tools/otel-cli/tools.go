//go:build tools

// Package tools names the programs that scripts/cluster-tools builds from this module.
package tools

import (
	_ "github.com/equinix-labs/otel-cli"
)

//go:build tools

// Package tools names the programs that scripts/cluster-tools builds from this module.
package tools

import (
	_ "github.com/open-policy-agent/gatekeeper/v3/cmd/gator"
)

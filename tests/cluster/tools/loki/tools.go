//go:build tools

// Package tools names the program that scripts/cluster-tools builds from this module.
package tools

import (
	_ "github.com/grafana/loki/v3/cmd/loki"
)

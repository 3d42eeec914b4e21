//go:build !bright

// Package colours differs by build tag.
package colours

// Names of them.
const Names = "grey"

//go:build bright

package colours

// Names of them.
const Names = "red"

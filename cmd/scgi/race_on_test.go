//go:build race

package main_test

// buildFlags make the real binary what the tests themselves are.
var buildFlags = []string{"-race"}

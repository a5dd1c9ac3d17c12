// With an assembly file in the package, functions without a body may be declared: see
// goroutine.go.

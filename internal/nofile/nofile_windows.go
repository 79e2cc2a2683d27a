// Package nofile knows how many descriptors a worker may have.
package nofile

// Limit is 0: there is no such limit.
var Limit uint64

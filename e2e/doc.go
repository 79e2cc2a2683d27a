// Package e2e holds tests that drive the built start_server, and real servers
// under it, as their users do.
package e2e

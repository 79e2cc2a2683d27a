module github.com/lestrrat/go-server-starter

go 1.25.0

require (
	github.com/coreos/go-systemd/v22 v22.7.0
	github.com/jessevdk/go-flags v1.6.1
	github.com/stretchr/testify v1.12.1
	github.com/valyala/fastjson v1.6.10
	golang.org/x/sys v0.47.0
	golang.org/x/term v0.45.0
)

require go.yaml.in/yaml/v3 v3.0.5

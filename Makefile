# windsock: two commands do all: `make run` and `make test`.
FUZZTIME  ?= 1m
BENCHTIME ?= 1s
ROUNDS    ?= 100
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.8.0
# The tests of app/sqlite that do several things at once. The others run without the
# race detector, under which SQLite takes ten times as long.
AT_ONCE    = While|Beside|AfterReceipt|InMigration
RACE       = $(shell command -v $${CC:-cc} >/dev/null 2>&1 && echo -race)

help:    ## list the targets
	@sed -n 's/^\([a-z-]*\): *\([a-z]* \)*## */\1\t/p' $(MAKEFILE_LIST) | expand -t 12
run: build ## serve on embedded defaults: data/, a unix socket, http://127.0.0.1:8080/
	@./windsock serve --http 127.0.0.1:8080
test: tools ## run all tests with the race detector, the real front ends, and each fuzz target for 3 s
	CGO_ENABLED=$(if $(RACE),1,0) go test $(RACE) -timeout 15m $$(go list ./... | grep -v '/app/sqlite$$')
	$(if $(RACE),CGO_ENABLED=1 go test -race -timeout 15m -run '$(AT_ONCE)' ./app/sqlite)
	CGO_ENABLED=0 go test -timeout 10m ./app/sqlite $(if $(RACE),./app/canonical ./scgi ./cmd/windsock # as shipped: scgi makes other system calls then, and allocations are counted)
	@$(MAKE) --no-print-directory fuzz FUZZTIME=3s
test-crash: ## kill -9 windsock ROUNDS=100 times at random moments; let each call on the disk fail in turn
	CGO_ENABLED=$(if $(RACE),1,0) go test $(RACE) -count=1 -v -timeout 60m -run '^TestKill9$$' ./cmd/windsock -rounds $(ROUNDS)
	go test -count=1 -timeout 60m -run '^TestFaultTable$$' ./app/sqlite -every
bench:   ## measure what a request costs, beside the floor and the rivals; run the benchmarks (BENCHTIME=1s each)
	go run ./scgi/scgitest/bench -out testdata/bench $(BENCHFLAGS)
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...
fuzz:    ## run each fuzz target in turn (FUZZTIME=1m each)
	@for p in $$(go list ./...); do for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	echo "$$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$p || exit 1; done; done
lint:    ## check format, vet, staticcheck, known vulnerabilities
	@test -z "$$(gofmt -l app cmd deploy scgi | tee /dev/stderr)"
	go vet ./...
	go run $(STATICCHECK) ./...
	@bin=$$(mktemp -d); GOBIN=$$bin go install $(GOVULNCHECK) && $$bin/govulncheck -test ./...; code=$$?; rm -rf $$bin; \
	case $$code in 0) ;; 3) exit 3;; *) echo '*** NOT CHECKED for known vulnerabilities: no govulncheck, or no database ***' >&2;; esac
build:   ## build the static binary ./windsock
	@CGO_ENABLED=0 go build -trimpath -o windsock ./cmd/windsock
tools:
	@sh scgi/scgitest/frontend/install.sh
	@command -v $${CC:-cc} >/dev/null || { echo '*** NO C COMPILER: the tests run WITHOUT the race detector ***' >&2; test "$$CI" != true; }

.PHONY: help run test test-crash bench fuzz lint build tools

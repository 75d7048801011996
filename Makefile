# `make` alone lists the targets. Only Go, git and make are needed, except for
# `make race`, which on Linux wants a C compiler.

export CGO_ENABLED ?= 0
SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c

PKG      ?= ./...
LONGEST  := ./node # begun first: under the race detector its tests use one processor, and the rest runs on the others
FUZZTIME ?= 20000x
SEEDS    ?= 1000
MUTANTS  ?= 25000
COUNT    ?= 6
RUNS     ?= 5
SIZE     ?= 1GiB
FILES    ?= 10000
ONLY     ?=
BIN      := bin/dhtfs
TOOL     := go tool -modfile=.ci/tools/go.mod

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/dhtfs, one static binary
	go build -trimpath -o $(BIN) ./cmd/dhtfs

.PHONY: demo
demo: build ## a ring of five daemons on this machine: store, kill one, fetch and compare
	$(BIN) demo $(ARGS)

.PHONY: test
test: ## run the tests (PKG=./chord for one package)
	go test -timeout=20m $(PKG)

.PHONY: race
race: ## run the tests under the race detector
	CGO_ENABLED=1 go test -race -timeout=60m $(if $(filter ./...,$(PKG)),$(LONGEST)) $(PKG)

.PHONY: lint
lint: ## check style and import directions with the pinned golangci-lint
	$(TOOL) golangci-lint run $(PKG)

.PHONY: fmt
fmt: ## format the code
	gofmt -w .

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME: a number of inputs (20000x) or a time
	.ci/fuzz $(FUZZTIME) $(PKG)

.PHONY: sim
sim: ## run the tests that simulate, with SEEDS seeds each (1000)
	DHTFS_SIM_SEEDS=$(SEEDS) go test -count=1 -timeout=24h $(sort $(dir $(addprefix ./,$(shell git grep -l DHTFS_SIM_SEEDS -- '*_test.go'))))

.PHONY: soak
soak: ## hours of virtual time of 100 whole nodes under churn (HOURS=24 NODES=100 SEED=1); a part with ONLY=10m
	GOMAXPROCS=1 GOGC=400 GODEBUG=tlsmlkem=0,tlssecpmlkem=0 HOURS=$(or $(HOURS),24) NODES=$(or $(NODES),100) SEED=$(or $(SEED),1) \
		go test -count=1 -timeout=24h -v -run '^(TestSoak|TestLookupsUnderChurn)$$/$(ONLY)' ./internal/simulate ./chord

.PHONY: soak-processes
soak-processes: ## real daemons in the long form: ten minutes of kills under load, a minute split, a minute paused, power failures
	DHTFS_LONG=1 go test -count=1 -timeout=60m -v -run 'TestKilledAgain|TestPartition|TestPaused|TestOneWayLoss|TestRollingRestart|TestFewDescriptors|TestPowerLoss|TestKilledAtEachStep|TestTwoNodesKilled' ./cmd/dhtfs

.PHONY: mutants
mutants: ## take one rule after the other out of the source: the tests must notice
	DHTFS_MUTANTS=1 nice go test -count=1 -timeout=120m -v -run '^TestMutants' ./internal/mutants

.PHONY: long
long: ## run the tests with real daemons in their long form: 2 GiB, thousands of files; and what 100,000 files cost at rest
	DHTFS_LONG=1 go test -count=1 -timeout=60m -v ./cmd/dhtfs
	DHTFS_LONG=1 go test -count=1 -timeout=60m -v -run '^TestCost' ./node

.PHONY: attack
attack: ## attack a ring of daemons in every way we know, and every decoder with MUTANTS inputs (25000)
	@mkdir -p bin
	DHTFS_MUTANTS=$(MUTANTS) go test -count=1 -v -run='^TestMutatedInputs$$' $(sort $(dir $(addprefix ./,$(shell git grep -l 'func TestMutatedInputs' -- '*_test.go')))) | tee bin/attack.txt | grep -E 'mutated inputs|FAIL|panic' 
	@awk '/mutated inputs for/ { n += $$2 } END { print n, "mutated inputs in all" }' bin/attack.txt
	DHTFS_ATTACK=1 go test -count=1 -timeout=30m -v -run='^Test(Attack|FewDescriptors|NoDescriptorLeft|HostileNames|LinksSwappedUnderAFetch)$$' ./cmd/dhtfs

.PHONY: watch-delays
watch-delays: ## print how long after their completion files in a watched folder are on the ring
	DHTFS_LONG=1 go test -count=1 -timeout=10m -v -run '^TestWatchDelays$$' ./cmd/dhtfs

.PHONY: bench
bench: build ## real daemons beside rsync, scp, nginx: RUNS (5) rounds, SIZE (1GiB), FILES (10000), ONLY; into bin/bench.md
	go run ./internal/bench -dhtfs $(BIN) -runs $(RUNS) -size $(SIZE) -files $(FILES) -only '$(ONLY)' -out bin/bench.md $(ARGS)

.PHONY: microbench
microbench: ## run the Go benchmarks COUNT times (6) into bin/microbench.txt; OLD=file compares
	@mkdir -p bin
	go test -run='^$$' -bench=. -benchmem -count=$(COUNT) $(PKG) | tee bin/microbench.txt
	@$(if $(OLD),$(TOOL) benchstat $(OLD) bin/microbench.txt)

.PHONY: cover
cover: ## measure the statements that the tests reach
	@mkdir -p bin
	go test -coverpkg=./... -coverprofile=bin/cover.out $(PKG)
	go tool cover -func=bin/cover.out | tail -1

.PHONY: cross
cross: ## compile code and tests for the other operating systems
	GOOS=darwin GOARCH=arm64 go vet $(PKG)
	GOOS=windows GOARCH=amd64 go vet $(PKG)

.PHONY: licences
licences: ## write docs/licences.md, the licences of what is compiled in
	.ci/licences > docs/licences.md.new && mv docs/licences.md.new docs/licences.md

.PHONY: tidy
tidy: ## tidy the product's go.mod and the tools' one
	go mod tidy
	cd .ci/tools && go mod tidy

.PHONY: ci
ci: ## everything that a change must pass
	.ci/run

.PHONY: clean
clean: ## remove what was built
	rm -rf bin

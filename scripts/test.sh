#!/usr/bin/env bash
# The one test command: every check that a change must pass, the same here and in CI.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Where some systems keep the tools of the network, out of the path of users.
PATH+=:/usr/sbin:/sbin

STAGES=(fmt rules clippy pure test doctest doc demo sim network stores containers)

usage() {
    cat <<'TEXT'
usage: scripts/test.sh [--yes] [--verbose] [STAGE...]

Runs the named stages, or all of them in this order:

  fmt         the code is formatted (cargo fmt --check)
  rules       the house rules that a search can hold: see CONTRIBUTING.md
  clippy      no lint fires in any target, with and without default features
  pure        pogo-core compiles without its runtime (no tokio, no clock, no randomness)
  test        unit tests, integration tests, examples
  doctest     the code in README.md and in the API docs
  doc         the API docs build without a warning
  demo        the demo kills members for 20 s, loses no child and runs none twice
  sim         2,000 random clusters of 5 members and 20 children keep every law for 60 s each, in virtual time
  network     agents on machines that are cut off from each other, in network namespaces
  stores      the backends of stores pass the suite against real servers, which are killed, frozen, wiped and divided
  containers  agents in containers of the static image, run by docker-compose

options:
  --yes      install what is missing without asking (also when there is no terminal)
  --verbose  show the output of each stage as it comes
  --help     show this text

Every stage needs Rust, a C linker, and protoc with its standard definitions (the client of etcd is generated); all but
the last three need nothing else. 'network' needs Linux and iproute2, iptables, util-linux; and root only where the
kernel keeps users from making namespaces. 'stores' and 'containers' need Linux and a Docker daemon that answers to you;
with POGO_ETCD=process the servers of 'stores' are processes of this machine, and etcd and etcdctl are needed instead.
No stage is ever skipped: to do without one, name the others.
TEXT
}

# Those that build the whole workspace.
BUILD_STAGES="clippy test doctest doc demo sim network stores containers"

# --- what must be there ------------------------------------------------------------------------

# One line for each requirement: name | check | how it is installed | the stages that need it (none named: all). A later
# stage that needs more adds its line here.
REQUIREMENTS=(
    "C linker|command -v cc|install_package gcc libc6-dev|"
    "cargo|command -v cargo|install_rust|"
    "protoc and its definitions|protoc_answers|install_package protobuf-compiler libprotobuf-dev|$BUILD_STAGES"
    "rustfmt|cargo fmt --version|rustup component add rustfmt|fmt"
    "clippy|cargo clippy --version|rustup component add clippy|clippy"
    "iproute2|command -v ip|install_package iproute2|network"
    "iptables|command -v iptables|install_package iptables|network"
    "util-linux|command -v unshare && command -v setpriv|install_package util-linux|network"
    "network namespaces|as_root_of_a_network true|refuse_namespaces|network"
    "what servers run on|store_servers_answer|install_store_servers|stores"
    "Docker engine|docker_answers|install_docker|containers"
    "docker-compose|compose_answers|install_package docker-compose|containers"
)

as_root() {
    if [[ $(id -u) -eq 0 ]]; then "$@"; else sudo "$@"; fi
}

install_package() {
    if ! command -v apt-get >/dev/null; then
        echo "no apt-get here: install '$*' with this system's package manager" >&2
        return 1
    fi
    as_root apt-get update -qq
    as_root apt-get install -y -qq --no-install-recommends "$@"
}

install_rust() {
    if ! command -v rustup >/dev/null; then install_package rustup; fi
    rustup default stable
}

# Runs a command with the rights of root over network namespaces that it makes; others get them in a user namespace.
as_root_of_a_network() {
    if [[ $(id -u) -eq 0 ]]; then unshare --net true && "$@"; else unshare --user --map-root-user "$@"; fi
}

refuse_namespaces() {
    echo "this kernel keeps users from making network namespaces (kernel.unprivileged_userns_clone, AppArmor):" \
        "run this as root, or name the stages to run" >&2
    return 1
}

# The compiler, and the definitions that are a package of their own.
protoc_answers() {
    local folder
    folder=$(mktemp -d)
    # shellcheck disable=SC2064  # the folder of now
    trap "rm -rf '$folder'" EXIT
    printf 'syntax = "proto3"; import "google/protobuf/descriptor.proto";' >"$folder/check.proto"
    "${PROTOC:-protoc}" --proto_path="$folder" --descriptor_set_out=/dev/null "$folder/check.proto"
}

# Whatever the servers of stores run on, by the user's choice.
store_servers_answer() {
    if [[ ${POGO_ETCD:-container} == process ]]; then etcd --version && etcdctl version; else docker_answers; fi
}

docker_answers() {
    timeout 20 docker info
}

# As a program, or as a part of docker's.
compose_answers() {
    docker-compose version || docker compose version
}

install_store_servers() {
    if [[ ${POGO_ETCD:-container} == process ]]; then install_package etcd-server etcd-client; else install_docker; fi
}

# Docker's daemon is started as the system does it, or by hand where nothing manages services, as in a container.
install_docker() {
    if ! command -v docker >/dev/null; then install_package docker.io; fi
    if ! is_present docker_answers; then
        if as_root docker info >/dev/null 2>&1; then
            echo "Docker answers to root only: add yourself to the group 'docker' and log in again" >&2
            return 1
        fi
        as_root systemctl start docker 2>/dev/null || as_root service docker start ||
            as_root setsid dockerd >/dev/null 2>&1 &
        wait_until 30 docker_answers || docker_answers
    fi
}

# Asks each second, at most so many times, whether a command succeeds.
wait_until() {
    local seconds=$1
    shift
    until is_present "$*"; do
        seconds=$((seconds - 1))
        if [[ $seconds -lt 0 ]]; then return 1; fi
        sleep 1
    done
}

is_present() {
    (eval "$1") >/dev/null 2>&1
}

# Whether one of the wanted stages is among those named.
concerns() {
    local stage
    if [[ -z $1 ]]; then return 0; fi
    for stage in "${wanted[@]}"; do
        if [[ " $1 " == *" $stage "* ]]; then return 0; fi
    done
    return 1
}

install_missing() {
    local missing=() entry name check install stages answer
    for entry in "${REQUIREMENTS[@]}"; do
        IFS='|' read -r name check install stages <<<"$entry"
        if concerns "$stages" && ! is_present "$check"; then
            missing+=("$entry")
            echo "missing: $name, for ${stages:-every stage} (would run: $install)"
        fi
    done
    if [[ ${#missing[@]} -eq 0 ]]; then return 0; fi
    if [[ $yes -eq 0 && -t 0 ]]; then
        read -r -p "install now? [y/N] " answer
        if [[ $answer != [yY]* ]]; then
            echo "nothing was installed, nothing was tested" >&2
            exit 2
        fi
    fi
    for entry in "${missing[@]}"; do
        IFS='|' read -r name check install stages <<<"$entry"
        # The words of an install line come from the table above.
        # shellcheck disable=SC2086
        if ! is_present "$check" && { ! $install || ! is_present "$check"; }; then
            echo "could not get: $name. Nothing was tested. Get it and run this again (Rust comes from" \
                "https://rustup.rs)${stages:+, or name stages other than: $stages}" >&2
            exit 2
        fi
    done
}

# --- stages: each prints what it finds; its last line that starts with 'figures:' goes into the summary -----------------

stage_fmt() {
    cargo fmt --all --check
    echo "figures: $(source_files | wc -l) files"
}

# Files that git tracks or would track, less those that were deleted.
source_files() {
    local file
    while IFS= read -r file; do
        if [[ -f $file ]]; then echo "$file"; fi
    done < <(git ls-files --cached --others --exclude-standard -- '*.rs')
}

# Fails the stage and prints every line of the files (git's path patterns) that matches.
none_match() {
    local rule=$1 pattern=$2 status=0
    shift 2
    git grep --untracked -nIE -e "$pattern" -- "$@" || status=$?
    case $status in
        0) break_rule "$rule" ;;
        1) ;;
        *) break_rule "$rule (the search itself failed)" ;;
    esac
}

break_rule() {
    echo "^ rule broken: $1"
    broken=$((broken + 1))
}

# The test code of a source file: all of a file under tests/ or called tests.rs, else what follows `#[cfg(test)] mod`.
test_code() {
    local file
    while IFS= read -r file; do
        awk -v file="$file" '
            BEGIN { inside = file ~ /(^|\/)(tests|benches)\/|(^|\/)tests\.rs$/ }
            previous ~ /^#\[cfg\(test\)\]/ && /^(pub(\([a-z]+\))? )?mod [a-z_]+ \{/ { inside = 1 }
            inside { print file ":" FNR ": " $0 }
            { previous = $0 }' "$file"
    done
}

stage_rules() {
    broken=0
    none_match 'every code block in the docs is compiled' '```.*\bignore\b' '*.rs' '*.md'
    none_match 'no test is switched off' '#\[ignore' '*.rs'
    none_match 'nothing is left for later in code' '\b(todo|unimplemented)!|//.*\b(TODO|FIXME|XXX)\b' '*.rs'
    none_match 'no path of one machine' '(^|[^[:alnum:]_.~/-])/(root|work|home)(/|[^[:alnum:]_/-]|$)' . ':!Cargo.lock'
    none_match 'a module is named after its idea' \
        '^[[:space:]]*(pub(\([a-z]+\))? )?mod (utils?|managers?|helpers?|common|misc)\b' '*.rs'

    if source_files | test_code | grep -E '(thread|time)::sleep|[^_[:alnum:]]sleep(_until)?\('; then
        break_rule 'a test waits for its condition, it does not sleep'
    fi

    local file files=0 lines
    while IFS= read -r file; do
        files=$((files + 1))
        lines=$(wc -l <"$file")
        if [[ $lines -gt 600 ]]; then
            echo "$file: $lines lines"
            break_rule 'no source file over 600 lines'
        fi
    done < <(source_files)

    echo "figures: $files source files, $broken rules broken"
    [[ $files -gt 0 && $broken -eq 0 ]]
}

stage_clippy() {
    cargo clippy --locked --quiet --workspace --all-targets -- -D warnings
    # A target with `test = false` is not among all.
    cargo clippy --locked --quiet --workspace --test network --test stores -- -D warnings
    cargo clippy --locked --quiet -p pogo-core --no-default-features -- -D warnings
    echo "figures: no warnings"
}

# That the dependency graph of this build holds no tokio, clock or randomness is a test: tests/tests/dependency_direction.rs.
stage_pure() {
    cargo check --locked --quiet -p pogo-core --no-default-features
    echo "figures: pogo-core builds without its runtime"
}

# Adds up the closing lines of the test binaries in the log of stage $1; no test at all is a failure.
count_tests() {
    local passed=0 failed=0 p f
    while read -r p f; do
        passed=$((passed + p))
        failed=$((failed + f))
    done < <(sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed.*/\1 \2/p' "$logs/$1.cargo")
    echo "figures: $passed passed, $failed failed"
    [[ $passed -gt 0 && $failed -eq 0 ]]
}

stage_test() {
    # Tests run the examples as programs; `cargo test --examples` would build them as tests.
    cargo build --locked --quiet --workspace --examples
    cargo test --locked --quiet --workspace --no-fail-fast --lib --bins --tests 2>&1 | tee "$logs/test.cargo" || broken_run=1
    count_tests test && [[ -z ${broken_run:-} ]]
}

stage_doctest() {
    cargo test --locked --quiet --workspace --no-fail-fast --doc 2>&1 | tee "$logs/doctest.cargo" || broken_run=1
    count_tests doctest && [[ -z ${broken_run:-} ]]
}

stage_doc() {
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --quiet --no-deps --workspace --document-private-items
    echo "figures: no warnings"
}

stage_demo() {
    # The program that is in the image, too: one release build is enough.
    local program
    program=$(scripts/program.sh)
    "$program" demo --nodes 3 --children 300 --kill-every 4s --for 20s --json >"$logs/demo.json" || return 1
    cat "$logs/demo.json"

    local failovers summary children running lost duplicates
    failovers=$(grep -c '"event":"failover"' "$logs/demo.json") || true
    summary=$(grep '"event":"summary"' "$logs/demo.json") || true
    children=$(number_in "$summary" children)
    running=$(number_in "$summary" running)
    lost=$(number_in "$summary" lost)
    duplicates=$(number_in "$summary" duplicates)
    echo "figures: ${running:-no} of ${children:-no} children running, ${lost:-?} lost," \
        "${duplicates:-?} duplicates, $failovers failovers"
    [[ $children == 300 && $running == 300 && $lost == 0 && $duplicates == 0 && $failovers -ge 2 ]]
}

stage_sim() {
    local program log="$logs/sim.json" most=120
    program=$(scripts/program.sh)
    # One thread, so that what it may take is the same on every machine.
    "$program" sim --seeds 0..2000 --nodes 5 --children 20 --seconds 60 --jobs 1 --no-shrink --coverage --json \
        --save "$logs/failing-plans" >"$log" || [[ $? -eq 1 ]]
    # Plans are long: they are in their files, too.
    sed -E 's/"plan":"([^"\\]|\\.)*",?//' "$log"

    local summary seeds violations cpu rate coverage unreached
    coverage=$(grep '"event":"coverage"' "$log")
    unreached=$(sed -nE 's/.*"never_reached":\[([^]]*)\].*/\1/p' <<<"$coverage")
    summary=$(grep '"event":"summary"' "$log") || true
    seeds=$(number_in "$summary" seeds)
    violations=$(number_in "$summary" violations)
    cpu=$(number_in "$summary" cpu_seconds)
    rate=$(number_in "$summary" cluster_seconds_per_cpu_second)
    echo "figures: ${seeds:-no} seeds, ${violations:-?} violations, ${rate:-?} cluster-seconds per CPU-second," \
        "${cpu:-?} s of CPU, never reached: ${unreached:-none}"
    [[ $seeds == 2000 && $violations == 0 && -z $unreached && $cpu -le $most ]]
}

stage_network() {
    # The whole workspace, here and below: a package alone would be built again with other features.
    cargo test --locked --quiet --workspace --test network --no-run
    # They wait most of their time, so all at once.
    as_root_of_a_network cargo test --locked --quiet --workspace --test network -- --nocapture --test-threads=8 --skip compose 2>&1 |
        tee "$logs/network.cargo" || broken_run=1
    count_tests network && [[ -z ${broken_run:-} ]]
}

stage_stores() {
    local began=$SECONDS images left_out=()
    if [[ ${POGO_ETCD:-container} == process ]]; then
        echo "left out, as POGO_ETCD is process: tests of servers that are cut off from each other, which need containers"
        left_out=(--skip divisions::)
    else
        images=$(scripts/stores.sh)
        echo "$images"
        echo "the images took $((SECONDS - began))s"
        while IFS= read -r image; do export "${image?}"; done <<<"$images"
    fi
    # Some of them run the examples as programs, and the program with every backend.
    cargo build --locked --quiet --workspace --examples --bin pogo --features pogo-cli/full
    cargo test --locked --quiet --workspace --test stores -- --nocapture --test-threads=4 "${left_out[@]}" 2>&1 |
        tee "$logs/stores.cargo" || broken_run=1
    count_tests stores && [[ -z ${broken_run:-} ]]
}

stage_containers() {
    local began=$SECONDS
    scripts/image.sh
    echo "the image took $((SECONDS - began))s"
    cargo test --locked --quiet --workspace --test network -- --nocapture compose 2>&1 |
        tee "$logs/containers.cargo" || broken_run=1
    count_tests containers && [[ -z ${broken_run:-} ]]
}

# The whole number under key $2 of the JSON object $1.
number_in() {
    sed -nE "s/.*\"$2\": ?([0-9]+)[,}].*/\1/p" <<<"$1"
}

# --- running them ------------------------------------------------------------------------------

# A plain call in a subshell: inside `if` or `||` bash would ignore the stage's errors but the last.
run_stage() {
    local stage=$1 log="$logs/$1.log" began=$SECONDS status
    printf '%-11s ' "$stage"
    set +e
    if [[ $verbose -eq 1 ]]; then
        echo
        (set -e; "stage_$stage") 2>&1 | tee "$log"
        status=${PIPESTATUS[0]}
    else
        (set -e; "stage_$stage") >"$log" 2>&1
        status=$?
    fi
    set -e

    local figures outcome=ok
    figures=$(sed -n 's/^figures: //p' "$log" | tail -n 1)
    if [[ $status -ne 0 ]]; then
        outcome=FAILED
        failed_stages+=("$stage")
    fi
    printf '%-7s %4ds  %s\n' "$outcome" "$((SECONDS - began))" "$figures"
    table+=("$(printf '  %-11s %-7s %4ds  %s' "$stage" "$outcome" "$((SECONDS - began))" "$figures")")
    if [[ $status -ne 0 ]]; then
        if [[ $verbose -eq 0 ]]; then tail -n 200 "$log"; fi
        echo "stage '$stage' failed; its whole output is in $log; run it again with: scripts/test.sh $stage"
    fi
}

main() {
    yes=0 verbose=0
    local wanted=() argument stage
    for argument in "$@"; do
        case $argument in
            --yes) yes=1 ;;
            --verbose) verbose=1 ;;
            --help | -h) usage; exit 0 ;;
            *)
                if [[ " ${STAGES[*]} " != *" $argument "* ]]; then
                    echo "unknown stage or option '$argument'; the stages are: ${STAGES[*]}" >&2
                    exit 2
                fi
                wanted+=("$argument")
                ;;
        esac
    done
    if [[ ${#wanted[@]} -eq 0 ]]; then wanted=("${STAGES[@]}"); fi

    install_missing
    logs="${CARGO_TARGET_DIR:-target}/test-logs"
    mkdir -p "$logs"
    failed_stages=() table=()
    for stage in "${wanted[@]}"; do run_stage "$stage"; done

    echo
    echo "summary (${SECONDS}s in all)"
    printf '%s\n' "${table[@]}"
    if [[ ${#failed_stages[@]} -gt 0 ]]; then
        echo "failed; run again with: scripts/test.sh ${failed_stages[*]}"
    fi
    # Counted in stages, so that the last line is true also when a failure was no test.
    echo "stages: $((${#wanted[@]} - ${#failed_stages[@]})) passed, ${#failed_stages[@]} failed"
    [[ ${#failed_stages[@]} -eq 0 ]]
}

main "$@"

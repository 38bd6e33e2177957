#!/bin/sh
# Installs the simulators, Yosys for synthesis and proof, CaDiCaL for the proof, tcpdump for the captures' check, QEMU and
# Busybox for the guest in which the driver meets vfio-pci, iproute2, ping and curl for networks of namespaces, and
# Valgrind to count instructions, where they are missing.
# Never fails: without them the tests say what they skip.
set -u

missing=""
command -v verilator >/dev/null 2>&1 || missing="$missing verilator"
command -v iverilog >/dev/null 2>&1 || missing="$missing iverilog"
command -v yosys >/dev/null 2>&1 || missing="$missing yosys"
command -v cadical >/dev/null 2>&1 || missing="$missing cadical"
command -v tcpdump >/dev/null 2>&1 || missing="$missing tcpdump"
command -v valgrind >/dev/null 2>&1 || missing="$missing valgrind"
command -v qemu-system-x86_64 >/dev/null 2>&1 || missing="$missing qemu-system-x86"
command -v ip >/dev/null 2>&1 || missing="$missing iproute2"
command -v curl >/dev/null 2>&1 || missing="$missing curl"
command -v ping >/dev/null 2>&1 || missing="$missing iputils-ping"
dpkg -s busybox-static >/dev/null 2>&1 || missing="$missing busybox-static"
# Verilator makes C++ that it compiles with make.
command -v g++ >/dev/null 2>&1 || missing="$missing g++"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
  echo "not installed:$missing; install them with this system's package manager. Going on without." >&2
  exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "not installed:$missing; to have them: sudo apt-get install$missing. Going on without." >&2
  exit 0
fi
echo "installing$missing"
# shellcheck disable=SC2086  # a list of package names
if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } \
  >/dev/null 2>&1; then
  echo "apt-get could not install$missing; going on without." >&2
fi
exit 0

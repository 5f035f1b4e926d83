# To be sourced. Runs a step, and prints its time: step "format" .ci/format
step() {
  printf '\n== %s\n' "$1"
  local TIMEFORMAT="== $1 took %0R s, with %0U s and %0S s (system) of CPU"
  time "${@:2}"
}

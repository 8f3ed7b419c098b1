#!/usr/bin/env bash
# The main job on real, partial recordings, as a transcript: benchmarks/real_logs.sh DATA WORK > docs/real_logs.md
# DATA holds nuscenes/dataroot, nuscenes/drivelm/samples, pexels_dashcam and av2; WORK is scratch. Text only: no picture
# of real data leaves WORK.
set -uo pipefail
data=$1 work=$2
mkdir -p "$work"
export SCENEMINER_CACHE="$work/cache" COLUMNS=140

say() {
  local shown='sceneminer' word
  for word in "$@"; do
    case $word in *[!a-zA-Z0-9_./-]*) shown+=" \"$word\"" ;; *) shown+=" $word" ;; esac
  done
  printf '\n```\n$ %s\n' "$shown" | sed -e "s#$data#DATA#g" -e "s#$work#WORK#g"
  sceneminer "$@" 2>&1 | sed -e "s#$data#DATA#g" -e "s#$work#WORK#g"
  printf 'exit %s\n```\n' "${PIPESTATUS[0]}"
}

cat <<EOF
# The main job on real recordings

A transcript, made by \`benchmarks/real_logs.sh\` at commit $(git rev-parse --short HEAD) on two x86-64 cores, with \`sceneminer-tiny\`: a
demo model that has seen synthetic towns only. Read it for what is opened, masked, named and answered, not for how well the
hits fit the words; on real logs, name a hub model. The data are small pieces of public sets and not part of this repository.

## nuScenes v1.0-mini, five scenes, most files missing
EOF
say mine "$data/nuscenes/dataroot" --out "$work/nuscenes"
say search "$work/nuscenes" "a construction site beside the road" --top 3
say search "$work/nuscenes" --where "risk > 0.05 and label_tag.intersection" --top 5
say hardest "$work/nuscenes" --top 5
say index info "$work/nuscenes"
printf '\n## A dash cam: a plain folder of images\n\nNo file says how many frames a second, so the first call is refused.\n'
say mine "$data/pexels_dashcam" --out "$work/dashcam"
say mine "$data/pexels_dashcam" --out "$work/dashcam" --fps 10
say search "$work/dashcam" "cars on a wide road" --top 3
printf '\n## Six cameras, five keyframes, no tables\n'
say mine "$data/nuscenes/drivelm/samples" --out "$work/drivelm"
say search "$work/drivelm" "a crossing with pedestrians" --top 3
printf '\n## Argoverse 2: tracks, poses and maps without images\n'
say mine "$data/av2" --out "$work/av2"
say hardest "$work/av2" --top 5
say search "$work/av2" "a bus"
printf '\n## The same again\n\nA second call finds everything mined.\n'
say mine "$data/nuscenes/dataroot" --out "$work/nuscenes"

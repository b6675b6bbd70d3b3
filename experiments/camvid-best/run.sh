#!/usr/bin/env bash
# SegNet-Basic from scratch, then a study for each pretrained candidate, then the ablation of the best one.
# Usage: run.sh CAMVID_DIR PART [further overrides for every training]; PART: segnet, studies, ablation, cpu
# No part touches the test split but through what `seglab train` itself writes beside every training.
set -euo pipefail
data=${1:?folder of CamVid}
part=${2:?segnet, studies, ablation or cpu}
shift 2
seglab=${SEGLAB:-seglab}
weights=${WEIGHTS:-imagenet} # or a file of the encoder's weights, where there is no network
candidates=${CANDIDATES:-unet/resnet34 deeplabv3plus/resnet50 segformer/mit_b0} # with a file: of its encoder

best() { "$seglab" train "$@" experiment=camvid-best "data.root=$data" "model.encoder_weights=$weights"; }

case $part in
  segnet) "$seglab" train experiment=camvid-best-segnet "data.root=$data" "$@" ;;
  studies)
    for candidate in $candidates; do
      name=${candidate%/*}
      best -m study=camvid_best "study.name=$name" "model=$name" "model.encoder_name=${candidate#*/}" "$@"
    done
    ;;
  ablation) # of the winner: give its words, such as model=unet model.encoder_name=resnet34 optimizer.lr=...
    arm() { best -m "seed=${SEEDS:-0,1,2}" "run_name=$1" "${words[@]}" "${@:2}"; }
    words=("$@")
    arm all
    arm small-crop "data.crop_size=${SMALL_CROP:-[224,288]}"
    arm no-average trainer.ema_decay=null
    arm plain-loss loss=ce loss.terms.ce.class_weights=none
    arm constant-rate scheduler=constant
    ;;
  cpu) # two cores for an hour or more: the lightest encoder, as experiment=camvid_unet but longer
    best model.encoder_name=tf_efficientnet_lite0 trainer.max_epochs=55 trainer.val_every=5 "$@"
    ;;
  *) echo "unknown part $part" >&2; exit 2 ;;
esac

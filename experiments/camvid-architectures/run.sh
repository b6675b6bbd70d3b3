#!/usr/bin/env bash
# The whole study: 4 architectures x (4 blocks, 3 drives, 4 random folds) = 44 trainings.
# Usage: run.sh CAMVID_DIR ENCODER_WEIGHTS [further overrides for every training]
set -euo pipefail
data=${1:?folder of CamVid}
weights=${2:?ImageNet weights of tf_efficientnet_lite0}
shift 2
seglab=${SEGLAB:-seglab}

pretrained=(model.encoder_name=tf_efficientnet_lite0 "model.encoder_weights=$weights" optimizer.encoder_lr=5.0e-4)
for scheme in ${SCHEMES:-block grouped kfold}; do
  case $scheme in
    block) folds=(cv=block cv.folds=4 cv.gap=10) ;;
    grouped) folds=(cv=grouped cv.folds=3) ;;
    kfold) folds=(cv=kfold cv.folds=4) ;;
  esac
  for name in ${MODELS:-unet deeplabv3plus pspnet segnet_basic}; do
    encoder=("${pretrained[@]}")
    # The paper's 7x7 kernels cost ten times a U-Net here.
    [[ $name == segnet_basic ]] && encoder=(model.kernel_size=3)
    "$seglab" train experiment=camvid-architectures "data.root=$data" "model=$name" \
      "${folds[@]}" "${encoder[@]}" "run_name=$name-$scheme" "$@"
  done
done

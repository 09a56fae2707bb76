#!/bin/bash
# An experiment at paper scale on 16 machines with 4 GPUs each: 8 clips per GPU, 4 times, make the global batch of 2048.
#   DATA=my_data.yaml sbatch docs/slurm.sh [EXPERIMENT] [further arguments of fit]
# Ten minutes before its time is over, or when it is pre-empted, the job saves a checkpoint; it goes on when it is next
# given machines. After a crash, the same command goes on from the last checkpoint.
#SBATCH --job-name=video-panda
#SBATCH --nodes=16
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=10
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@600
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

experiment=${1:-full}
shift || true
runs="runs/$experiment-paper"

newest() { # of the files of this run, whatever attempt wrote them
  find "$runs" -path "*/seed_0*/$1" "${@:2}" -printf '%T@ %p\n' 2>/dev/null | sort -rn | head -n 1 | cut -d ' ' -f 2- || true
}

if [ -n "$(newest summary.json)" ]; then
  echo "$runs is finished"
  exit
fi
checkpoint=$(newest 'checkpoints/*.ckpt')
started=$(mktemp)

srun --kill-on-bad-exit=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" python -m lightning fit \
  --config "experiments/$experiment.yaml" --config configs/scale/paper.yaml --config configs/trainer/fsdp.yaml \
  --config "${DATA:?set it to the YAML file of your data}" --name "$experiment-paper" \
  --trainer.accelerator=gpu --trainer.num_nodes=16 --trainer.devices=4 \
  --data.batch_size=8 --model.stage.global_batch=2048 \
  ${checkpoint:+--ckpt_path="$checkpoint"} "$@" && exit

if [ -n "$(newest checkpoints/interrupted.ckpt -newer "$started")" ]; then
  scontrol requeue "$SLURM_JOB_ID"
else
  echo "failed; see above" >&2
  exit 1
fi

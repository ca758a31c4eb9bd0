#!/usr/bin/env bash
# Make everything in this folder anew: make.sh PYTHON2.7 PYTHON3.6 PYTHON3.7 SCRATCH
# A Python with gudi's test packages and virtualenv<20.22 must be active.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
old=$here/../old_stack.py
name=Gudi_model_100_epochs_20000_faces
scratch=$4
mkdir -p "$scratch"

for python in "$1" "$2" "$3"; do
  venv=$scratch/$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  [ -d "$venv" ] || python "$old" install "$python" "$venv"
done
python "$here/make_pictures.py" "$here/pictures" "$scratch/frames"

# write FOLDER PYTHON OPTIMIZER SEED [v1]
write() {
  folder=$scratch/$1 python=$scratch/$2/bin/python
  rm -rf "$folder" && mkdir "$folder"
  (
    cd "$folder"
    "$python" "$old" write "${@:3}"
    # As the old README asks for; of the V1 format this is the file.
    [ -e "data/$name" ] || ln "data/$name.data-00000-of-00001" "data/$name"
    "$python" "$old" predict "$here/faces.npy" expected.npy "$3"
    [ ! -e "data/$name.index" ] || rm "data/$name"
    mv data/"$name"* .
    # People have copied their checkpoints from elsewhere.
    for key in model_checkpoint_path all_model_checkpoint_paths; do
      echo "$key: \"F:\\\\PyProjects\\\\emotion-recognition\\\\data\\\\$name\""
    done > checkpoint
    rmdir data 2> /dev/null || rm -r data
  )
  tar -C "$scratch" --owner=0 --group=0 --numeric-owner --sort=name -c "$1" | xz -9e > "$here/$1.tar.xz"
}
write tf0.12-tflearn0.2.1-v1 2.7 momentum 12 v1
write tf0.12-tflearn0.2.1-v2 2.7 momentum 12
write tf1.4-tflearn0.3.2-v2 3.6 momentum 104
write tf1.15-tflearn0.3.2-adam 3.7 adam 116
write tf1.15-tflearn0.3.2-v2 3.7 momentum 115

cd "$scratch/tf1.15-tflearn0.3.2-v2"
mkdir data
ln "$name.data-00000-of-00001" "data/$name"
ln "$name"* data
"$scratch/3.7/bin/python" "$old" find "$here/pictures" "$here/picture_faces.csv"
"$scratch/3.7/bin/python" "$old" find "$scratch/frames" frames.csv
sed -E '1s/source/&,frame/; s/^0{0,2}([0-9]+)\.png/clip.mp4,\1/' frames.csv > "$here/clip_faces.csv"

"""The constants of the original scripts: label order, face size, detection settings, file names."""

# The order of the network's outputs (the original's EMOTIONS), which is also FER2013's 0-6.
EMOTIONS = ("angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral")

# Faces enter the network as 48x48 grey pixels, the size of FER2013's pictures.
FACE_SIZE = 48

# OpenCV's Viola-Jones settings in the original (SCALEFACTOR and a literal 5).
SCALE_FACTOR = 1.1
MIN_NEIGHBORS = 5

# The original's SAVE_MODEL_FILENAME; the epochs and faces in it are part of the name.
CHECKPOINT_NAME = "Gudi_model_100_epochs_20000_faces"

"""The constants of the original scripts: label order, face size, detection settings, file names."""

# The network's outputs in order: the original's EMOTIONS, which are labels 0 to 6 of FER2013.
EMOTIONS = ("angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral")

# Width and height in pixels of the grey faces that the network takes, as in FER2013.
FACE_SIZE = 48

# Width of the network's hidden layer.
HIDDEN_UNITS = 3072

# OpenCV's Viola-Jones settings in the original (SCALEFACTOR and a literal 5).
SCALE_FACTOR = 1.1
MIN_NEIGHBORS = 5

# The original's SAVE_MODEL_FILENAME. Its numbers of epochs and faces are only a name.
CHECKPOINT_NAME = "Gudi_model_100_epochs_20000_faces"

"""The folder that `nnUNet_extTrainer` names: nnU-Net imports what lies here by itself, as top-level modules."""

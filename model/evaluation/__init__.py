"""What the weights are worth: PSNR and SSIM as MATLAB computes them, scores over folders, the tile-step test."""

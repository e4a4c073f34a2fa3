"""What a network is: U-Net, geometry, checkpoint files."""

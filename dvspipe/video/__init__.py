"""Read frames from videos, image folders, arrays and cameras, and write videos. Only this package imports cv2."""

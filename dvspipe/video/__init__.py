"""Videos, image folders, arrays and cameras as frames; the only room that imports cv2."""

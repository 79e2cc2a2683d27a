<?php echo "hello from generation ", getenv("SERVER_STARTER_GENERATION"), "\n";

DISTRIBUTION = "carryall"

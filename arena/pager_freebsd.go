package arena

// mapNoReserve is nothing: FreeBSD sets no swap aside for a mapping.
const mapNoReserve = 0

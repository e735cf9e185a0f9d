"""Sessions and racks to and from other programs: workstations, equaliser presets, stems."""

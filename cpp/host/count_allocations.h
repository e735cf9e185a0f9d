#pragma once

namespace twinrack::host {

// Counts the calls of malloc and free on this thread while it is on.
void count_allocations(bool on);
long counted_allocations();

}  // namespace twinrack::host

//! The `proxy_*` imports this module uses, and with `heap` the only unsafe code of the project.
//!
//! Statuses are `u32` here, not the SDK's enum: a status the SDK does not know would be an invalid enum value.
#![expect(unsafe_code, reason = "host imports exchange raw pointers; every use is wrapped below and nowhere else")]

use std::ptr::null_mut;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_done() -> u32;
    fn proxy_get_buffer_bytes(buffer: u32, start: usize, max: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_buffer_bytes(buffer: u32, start: usize, size: usize, data: *const u8, data_size: usize) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_header_map_pairs(map: u32, data: *const u8, size: usize) -> u32;
    fn proxy_replace_header_map_value(map: u32, k: *const u8, k_size: usize, v: *const u8, v_size: usize) -> u32;
    fn proxy_remove_header_map_value(map: u32, k: *const u8, k_size: usize) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, size: usize) -> u32;
    fn proxy_get_shared_data(k: *const u8, k_size: usize, v: *mut *mut u8, v_size: *mut usize, cas: *mut u32) -> u32;
    fn proxy_set_shared_data(k: *const u8, k_size: usize, v: *const u8, v_size: usize, cas: u32) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_close_stream(stream: u32) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, by: i64) -> u32;
}

/// Takes over memory that the host had allocated in this module (by the SDK's `proxy_on_memory_allocate`, a `Vec` of
/// exactly that capacity).
fn adopt(data: *mut u8, size: usize) -> Vec<u8> {
    if data.is_null() {
        return Vec::new();
    }
    // SAFETY: the host filled `size` bytes of an allocation of capacity `size` and gave up the pointer.
    unsafe { Vec::from_raw_parts(data, size, size) }
}

pub(super) fn log(level: u32, message: &str) {
    // SAFETY: pointer and length of a live slice, read during the call; the same holds for every call below.
    unsafe { proxy_log(level, message.as_ptr(), message.len()) };
}

pub(super) fn time() -> (u32, u64) {
    let mut time = 0;
    let status = unsafe { proxy_get_current_time_nanoseconds(&raw mut time) };
    (status, time)
}

pub(super) fn tick(period: u32) -> u32 {
    unsafe { proxy_set_tick_period_milliseconds(period) }
}

pub(super) fn done() -> u32 {
    unsafe { proxy_done() }
}

pub(super) fn buffer(buffer: u32, start: usize, max: usize) -> (u32, Vec<u8>) {
    let (mut data, mut size) = (null_mut(), 0);
    let status = unsafe { proxy_get_buffer_bytes(buffer, start, max, &raw mut data, &raw mut size) };
    (status, if status == 0 { adopt(data, size) } else { Vec::new() })
}

pub(super) fn set_buffer(buffer: u32, start: usize, size: usize, data: &[u8]) -> u32 {
    unsafe { proxy_set_buffer_bytes(buffer, start, size, data.as_ptr(), data.len()) }
}

pub(super) fn pairs(map: u32) -> (u32, Vec<u8>) {
    let (mut data, mut size) = (null_mut(), 0);
    let status = unsafe { proxy_get_header_map_pairs(map, &raw mut data, &raw mut size) };
    (status, if status == 0 { adopt(data, size) } else { Vec::new() })
}

pub(super) fn set_pairs(map: u32, data: &[u8]) -> u32 {
    unsafe { proxy_set_header_map_pairs(map, data.as_ptr(), data.len()) }
}

pub(super) fn replace(map: u32, name: &[u8], value: &[u8]) -> u32 {
    unsafe { proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()) }
}

pub(super) fn remove(map: u32, name: &[u8]) -> u32 {
    unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) }
}

pub(super) fn property(path: &[u8]) -> (u32, Vec<u8>) {
    let (mut data, mut size) = (null_mut(), 0);
    let status = unsafe { proxy_get_property(path.as_ptr(), path.len(), &raw mut data, &raw mut size) };
    (status, if status == 0 { adopt(data, size) } else { Vec::new() })
}

pub(super) fn set_property(path: &[u8], value: &[u8]) -> u32 {
    unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) }
}

pub(super) fn shared(key: &[u8]) -> (u32, Vec<u8>, u32) {
    let (mut data, mut size, mut cas) = (null_mut(), 0, 0);
    let status = unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), &raw mut data, &raw mut size, &raw mut cas) };
    (status, if status == 0 { adopt(data, size) } else { Vec::new() }, cas)
}

pub(super) fn set_shared(key: &[u8], value: &[u8], cas: u32) -> u32 {
    unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) }
}

pub(super) fn resume(stream: u32) -> u32 {
    unsafe { proxy_continue_stream(stream) }
}

pub(super) fn close(stream: u32) -> u32 {
    unsafe { proxy_close_stream(stream) }
}

pub(super) fn local_response(status: u32, details: &[u8], body: &[u8], headers: &[u8]) -> u32 {
    unsafe {
        proxy_send_local_response(
            status,
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            -1,
        )
    }
}

pub(super) fn effective_context(context: u32) -> u32 {
    unsafe { proxy_set_effective_context(context) }
}

pub(super) fn define_counter(name: &str) -> (u32, u32) {
    define(0, name)
}

pub(super) fn define_gauge(name: &str) -> (u32, u32) {
    define(1, name)
}

fn define(kind: u32, name: &str) -> (u32, u32) {
    let mut id = 0;
    let status = unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) };
    (status, id)
}

pub(super) fn count(id: u32, by: i64) -> u32 {
    unsafe { proxy_increment_metric(id, by) }
}

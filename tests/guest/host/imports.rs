//! The `env.proxy_*` functions, with the answers Envoy's own give.
//!
//! A module that imports more than is defined here does not instantiate. A pointer outside the guest's memory ends
//! the call with an error, where Envoy returns InvalidMemoryAccess: it is the guest's mistake.

use wasmtime::{Caller, Linker, Module, Result, bail, format_err};

use super::abi::{self, BAD_ARGUMENT, CAS_MISMATCH, NOT_FOUND, OK};
use super::world::{Call, Local, Metric, World};
use crate::surface;

/// The guest's memory and the world, for the length of one host call.
struct Host<'a>(Caller<'a, World>);

impl Host<'_> {
    fn world(&mut self) -> &mut World {
        self.0.data_mut()
    }

    fn read(&self, at: u32, size: u32) -> Result<Vec<u8>> {
        let Some((memory, _)) = &self.0.data().guest else { bail!("host call before the guest is ready") };
        let bytes = memory.data(&self.0).get(at as usize..at as usize + size as usize);
        bytes
            .map(<[u8]>::to_vec)
            .ok_or_else(|| format_err!("the guest passed {size} bytes at {at}, outside its memory"))
    }

    fn text(&self, at: u32, size: u32) -> Result<String> {
        String::from_utf8(self.read(at, size)?).map_err(|_| format_err!("the guest passed a name that is no text"))
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<()> {
        let Some((memory, _)) = self.0.data().guest.clone() else { bail!("host call before the guest is ready") };
        memory.write(&mut self.0, at as usize, bytes).map_err(|_| format_err!("the guest wants an answer at {at}"))
    }

    fn word(&mut self, at: u32, word: u32) -> Result<u32> {
        self.write(at, &word.to_le_bytes())?;
        Ok(OK)
    }

    /// Copies bytes into memory the guest allocates; nothing is allocated for none.
    fn give(&mut self, bytes: &[u8], at: u32, size: u32) -> Result<u32> {
        let mut address = 0;
        if !bytes.is_empty() {
            let Some((_, malloc)) = self.0.data().guest.clone() else { bail!("host call before the guest is ready") };
            address = malloc.call(&mut self.0, bytes.len() as u32)?;
            self.write(address, bytes)?;
        }
        self.word(at, address)?;
        self.word(size, bytes.len() as u32)
    }

    fn change(&mut self, map: u32, change: impl FnOnce(&mut abi::Headers)) -> u32 {
        match self.world().map_mut(map) {
            Some(headers) => {
                change(headers);
                OK
            }
            None => BAD_ARGUMENT,
        }
    }
}

/// Defines one import: counted, then made to fail if the test says so, then done.
macro_rules! import {
    ($linker:ident, $name:ident($host:ident $(, $arg:ident : $type:ty)*) $body:block) => {
        $linker.func_wrap("env", stringify!($name), |mut caller: Caller<'_, World>, $($arg: $type),*| -> Result<u32> {
            if let Some(status) = caller.data_mut().enter(stringify!($name))? {
                return Ok(status);
            }
            let answer = |$host: &mut Host<'_>| -> Result<u32> { $body };
            let mut host = Host(caller);
            let status = answer(&mut host)?;
            if status != OK {
                host.world().refusals.push((stringify!($name), status));
            }
            Ok(status)
        })?;
    };
}

/// All that Envoy offers and the module imports; calling what it never calls ends the test.
pub fn define(linker: &mut Linker<World>, module: &Module) -> Result<()> {
    for import in module.imports() {
        let name = import.name().to_owned();
        if let (true, Some(ty)) = (surface::NEVER_CALLED.contains(&import.name()), import.ty().func()) {
            linker.func_new("env", import.name(), ty.clone(), move |_, _, _| bail!("{name} called"))?;
        }
    }
    define_plumbing(linker)?;
    define_maps(linker)?;
    define_stream(linker)?;
    define_shared(linker)
}

fn define_plumbing(linker: &mut Linker<World>) -> Result<()> {
    import!(linker, proxy_log(host, level: u32, text: u32, size: u32) {
        let text = host.read(text, size)?;
        host.world().logs.push((level, String::from_utf8_lossy(&text).into_owned()));
        Ok(OK)
    });
    import!(linker, proxy_get_current_time_nanoseconds(host, at: u32) {
        let now = host.world().now;
        host.write(at, &now.to_le_bytes())?;
        Ok(OK)
    });
    import!(linker, proxy_set_tick_period_milliseconds(host, period: u32) {
        if let Some((_, root)) = host.world().acting_root() {
            root.tick_ms = period;
        }
        Ok(OK)
    });
    import!(linker, proxy_done(host) {
        match host.world().acting_root() {
            Some((id, root)) if root.pending => {
                host.world().roots.remove(&id);
                Ok(OK)
            }
            _ => Ok(NOT_FOUND),
        }
    });
    import!(linker, proxy_set_effective_context(host, id: u32) {
        let world = host.world();
        if !world.roots.contains_key(&id) && !world.contexts.contains_key(&id) {
            return Ok(BAD_ARGUMENT);
        }
        world.effective = id;
        Ok(OK)
    });
    import!(linker, proxy_define_metric(host, kind: u32, name: u32, size: u32, at: u32) {
        let name = host.text(name, size)?;
        if kind > 2 {
            return Ok(BAD_ARGUMENT);
        }
        // Envoy keeps the kind in the low bits and gives a new id each time, even for a known name.
        let metrics = &mut host.world().metrics;
        let id = (metrics.len() as u32 + 1) << 2 | kind;
        metrics.insert(id, Metric { name, kind, value: 0 });
        host.word(at, id)
    });
    import!(linker, proxy_increment_metric(host, id: u32, offset: i64) {
        let Some(metric) = host.world().metrics.get_mut(&id) else { return Ok(NOT_FOUND) };
        if metric.kind == 2 || metric.kind == 0 && offset <= 0 {
            return Ok(BAD_ARGUMENT);
        }
        metric.value = metric.value.wrapping_add_signed(offset);
        Ok(OK)
    });
    Ok(())
}

fn define_maps(linker: &mut Linker<World>) -> Result<()> {
    import!(linker, proxy_get_header_map_pairs(host, map: u32, at: u32, size: u32) {
        if map > abi::LAST_MAP {
            return Ok(BAD_ARGUMENT);
        }
        // A map out of reach reads as an empty one.
        let pairs = host.world().map(map).filter(|map| !map.is_empty()).map(abi::encode_pairs);
        host.give(&pairs.unwrap_or_default(), at, size)
    });
    import!(linker, proxy_set_header_map_pairs(host, map: u32, at: u32, size: u32) {
        let Some(pairs) = abi::decode_pairs(&host.read(at, size)?) else { bail!("the guest passed malformed pairs") };
        Ok(host.change(map, |headers| *headers = pairs))
    });
    import!(linker, proxy_replace_header_map_value(host, map: u32, key: u32, key_size: u32, value: u32, size: u32) {
        let (key, value) = (host.text(key, key_size)?.to_lowercase(), host.read(value, size)?);
        Ok(host.change(map, |headers| {
            headers.retain(|(name, _)| *name != key);
            headers.push((key, value));
        }))
    });
    import!(linker, proxy_remove_header_map_value(host, map: u32, key: u32, key_size: u32) {
        let key = host.text(key, key_size)?.to_lowercase();
        Ok(host.change(map, |headers| headers.retain(|(name, _)| *name != key)))
    });
    import!(linker, proxy_get_buffer_bytes(host, buffer: u32, start: u32, length: u32, at: u32, size: u32) {
        if buffer > abi::LAST_BUFFER || start.checked_add(length).is_none() {
            return Ok(BAD_ARGUMENT);
        }
        let Some(bytes) = host.world().buffer(buffer) else { return Ok(NOT_FOUND) };
        let bytes = bytes.get(start as usize..).unwrap_or_default();
        let bytes = bytes.get(..length as usize).unwrap_or(bytes);
        host.give(bytes, at, size)
    });
    import!(linker, proxy_set_buffer_bytes(host, buffer: u32, start: u32, length: u32, at: u32, size: u32) {
        let bytes = host.read(at, size)?;
        let Some(body) = host.world().body_mut(buffer) else { return Ok(BAD_ARGUMENT) };
        // `Buffer::copyFrom`: at 0 the first `length` bytes are replaced, at or past the end it appends.
        if start == 0 {
            body.splice(..body.len().min(length as usize), bytes);
        } else if start as usize >= body.len() {
            body.extend(bytes);
        } else {
            return Ok(BAD_ARGUMENT);
        }
        Ok(OK)
    });
    Ok(())
}

fn define_stream(linker: &mut Linker<World>) -> Result<()> {
    import!(linker, proxy_get_property(host, path: u32, path_size: u32, at: u32, size: u32) {
        let path = host.read(path, path_size)?;
        let Some(value) = host.world().property(&path) else { return Ok(NOT_FOUND) };
        host.give(&value, at, size)
    });
    import!(linker, proxy_set_property(host, path: u32, path_size: u32, value: u32, size: u32) {
        let (path, value) = (host.read(path, path_size)?, host.read(value, size)?);
        let Some(stream) = host.world().stream() else { return Ok(NOT_FOUND) };
        stream.state.insert(path, value);
        Ok(OK)
    });
    import!(linker, proxy_continue_stream(host, kind: u32) {
        if kind > 3 {
            return Ok(BAD_ARGUMENT);
        }
        host.world().resumed = true;
        let Some(context) = host.world().context() else { return Ok(OK) };
        match kind {
            0 => context.request.resumed = true,
            1 => context.response.resumed = true,
            2 => return Ok(OK),
            _ => return Ok(abi::UNIMPLEMENTED),
        }
        context.request.lose_reach();
        Ok(OK)
    });
    import!(linker, proxy_close_stream(host, kind: u32) {
        if kind > 3 {
            return Ok(BAD_ARGUMENT);
        }
        if let Some(context) = host.world().context() {
            context.closed = true;
        }
        Ok(OK)
    });
    import!(linker, proxy_send_local_response(
        host, status: u32, details: u32, details_size: u32, body: u32, body_size: u32, pairs: u32, pairs_size: u32,
        _grpc: i32
    ) {
        let (body, details) = (host.read(body, body_size)?, host.text(details, details_size)?);
        let Some(extra) = abi::decode_pairs(&host.read(pairs, pairs_size)?) else { bail!("malformed pairs") };
        let mut headers = abi::headers(&[(":status", &status.to_string())]);
        headers.extend(extra);
        // On a root context it is Ok and without effect, as in Envoy.
        if let Some(context) = host.world().context() {
            context.local = Some(Local { headers, body, details });
        }
        Ok(OK)
    });
    Ok(())
}

fn define_shared(linker: &mut Linker<World>) -> Result<()> {
    import!(linker, proxy_get_shared_data(host, key: u32, key_size: u32, at: u32, size: u32, cas_at: u32) {
        let key = host.read(key, key_size)?;
        let Some((value, cas)) = host.world().shared.get(&key).cloned() else { return Ok(NOT_FOUND) };
        host.give(&value, at, size)?;
        host.word(cas_at, cas)
    });
    import!(linker, proxy_set_shared_data(host, key: u32, key_size: u32, value: u32, size: u32, cas: u32) {
        let (key, value) = (host.read(key, key_size)?, host.read(value, size)?);
        let world = host.world();
        if world.shared.get(&key).is_some_and(|(_, held)| cas != 0 && cas != *held) {
            return Ok(CAS_MISMATCH);
        }
        world.last_cas += 1;
        world.shared.insert(key, (value, world.last_cas));
        Ok(OK)
    });
    import!(linker, proxy_grpc_call(
        host, cluster: u32, cluster_size: u32, service: u32, service_size: u32, method: u32, method_size: u32,
        metadata: u32, metadata_size: u32, message: u32, message_size: u32, timeout_ms: u32, at: u32
    ) {
        let (cluster, service) = (host.text(cluster, cluster_size)?, host.text(service, service_size)?);
        let (method, message) = (host.text(method, method_size)?, host.read(message, message_size)?);
        if abi::decode_pairs(&host.read(metadata, metadata_size)?).is_none() {
            bail!("malformed pairs");
        }
        let world = host.world();
        let Some((root, _)) = world.acting_root() else { bail!("a call from nowhere") };
        // Odd tokens are calls, even ones streams.
        world.next_token += 2;
        let token = world.next_token - 1;
        world.calls.push(Call { token, root, cluster, service, method, message, timeout_ms });
        host.word(at, token)
    });
    Ok(())
}

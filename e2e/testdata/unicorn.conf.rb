# start_server --port=8080 --signal-on-hup=CONT --status-file=unicorn.status -- unicorn -c unicorn.conf.rb config.ru
#
# Each worker that comes up takes the place of one of the old master's, and the
# last one sends the old master away. So at no time are there many more workers
# than usual; start_server's own signal is one that does nothing.

worker_processes 4
preload_app true # what after_fork says to the old master is then said by workers that can serve

ENV['UNICORN_FD'] = ENV['SERVER_STARTER_PORT'].split(';').map { |socket| socket[/\d+\z/] }.join(',')

after_fork do |server, worker|
  status = ENV['UNICORN_STATUS_FILE'] || 'unicorn.status'
  mine = ENV['SERVER_STARTER_GENERATION'].to_i
  generations = File.exist?(status) ? File.readlines(status).map { |line| line.split(':').map(&:to_i) } : []
  _, old_master = generations.select { |generation, _| generation < mine }.max
  if old_master
    begin
      Process.kill(worker.nr == server.worker_processes - 1 ? :QUIT : :TTOU, old_master)
    rescue Errno::ESRCH
      # it has gone already
    end
  end
end
